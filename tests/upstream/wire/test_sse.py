"""The SSE decoder: what the WHATWG's rules say, from bytes in any split, at a linear cost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.upstream.wire.sse import SseDecoder
from tests.support.sse import pieces

BOM = b"\xef\xbb\xbf"
RECORD = b'event: content_block_delta\ndata: {"a": 1}\n\n'
LINES = st.sampled_from(
    [
        *(b"data: x", b"data:y", b"data:  z", b"data: ", b"data", b"data: \xc3\xa9", b"datax: 1"),
        *(b"event: e", b"event:e", b"event: an event", b"id: 1", b"retry: 9", b": comment", b":"),
        *(RECORD, RECORD, RECORD[:-1], RECORD.replace(b"\n", b"\r\n"), BOM, b" data: x", b" "),
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\r\r", b""])
BODIES = st.lists(st.builds(bytes.__add__, LINES, ENDS), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 500), max_size=8)


def by_the_rules(body: bytes) -> list[bytes]:
    """Return the data of a body's events, read line by line as the specification is written."""
    events, data = [], list[bytes]()
    for line in re.split(rb"\r\n|\n|\r", body.removeprefix(BOM))[:-1]:
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        if not line:
            events.append(b"\n".join(data))
            data = []
    return [event for event in events if event]


@given(BODIES, CUTS)
def test_any_body_in_any_split(body: bytes, cuts: list[int]) -> None:
    """Every line end, field and split gives what the specification's own algorithm gives."""
    decoder = SseDecoder()
    assert [e for piece in pieces(body, cuts) for e in decoder.feed(piece)] == by_the_rules(body)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_byte_by_byte(end: bytes) -> None:
    """A BOM, a character and a CRLF may each be cut in two."""
    body = BOM + RECORD.replace(b"1", b'"\xc3\xa9"').replace(b"\n", end) * 2
    decoder = SseDecoder()
    events = [e for i in range(len(body)) for e in decoder.feed(body[i : i + 1])]
    assert events == [b'{"a": "\xc3\xa9"}'] * 2


def test_a_bom_is_one_at_the_start_only() -> None:
    """Later it is a part of its line, which then is no field."""
    assert SseDecoder().feed(BOM + RECORD + BOM + RECORD) == by_the_rules(RECORD * 2)[:1] * 2
    decoder = SseDecoder()
    decoder.feed(RECORD)
    assert decoder.feed(BOM + b"data: x\n\n") == []


# With work that is quadratic, each of these takes minutes instead of a fraction of a second.


@pytest.mark.timeout(20)
def test_a_long_line_in_small_pieces_is_linear() -> None:
    """Five megabytes of one line, sixteen bytes at a time, are neither copied nor read again."""
    decoder = SseDecoder()
    decoder.feed(b"data: ")
    rest = decoder._rest
    for _ in range(312_500):
        assert decoder.feed(b"0123456789abcdef") == []
    assert decoder._rest is rest
    assert decoder.feed(b"\n\n") == [b"0123456789abcdef" * 312_500]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "body",
    [
        b"data: " * 300_000 + b"\n",
        b"data: x\n" * 300_000,
        b"event: e\n" * 300_000,
        b"event: " + b"e" * 1_600_000 + b"\n",
    ],
    ids=["one line", "many lines", "names", "a name"],
)
def test_text_that_looks_like_framing_is_linear(body: bytes) -> None:
    """Content that is full of what the framing looks like is looked at once."""
    decoder = SseDecoder()
    assert decoder.feed(body) == []
    assert decoder.feed(b"\n\n") == by_the_rules(body + b"\n\n")
