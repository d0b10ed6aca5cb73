"""The wire parser: any bytes of a good stream give its message, and no bad one looks whole."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.event import Event, Finished, Usage
from sidecard.core.fold import fold
from sidecard.upstream.wire.events import EventParser
from sidecard.upstream.wire.failure import Kind, WireFailure
from sidecard.upstream.wire.message import parse_error, parse_message
from sidecard.upstream.wire.sse import SseDecoder
from sidecard.upstream.wire.usage import usage_of
from tests.support.sse import encoded, pieces, streamed

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-test",
    "content": [
        {"type": "thinking", "thinking": "hm, 1 < 2", "signature": "c2ln"},
        {"type": "text", "text": "Grüße 🐦 and\nlines"},
        {"type": "tool_use", "id": "t1", "name": "add", "input": {"n": 12345678901234567890}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {"input_tokens": 7, "output_tokens": 30},
}
EVENTS = list(streamed(MESSAGE))
PLAIN = encoded(EVENTS)


def parsed(*chunks: bytes) -> tuple[EventParser, tuple[Event, ...]]:
    parser = EventParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return parser, tuple(events)


@given(
    cuts=st.lists(st.integers(0, 5_000), max_size=12),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    noise=st.sampled_from(
        [b"", b": a comment\n", b'event: ping\ndata: {"type": "ping"}\n\n', b"\xef\xbb\xbf"]
    ),
)
def test_any_split_and_framing(cuts: list[int], newline: str, noise: bytes) -> None:
    """Split anywhere, with any line ends, comments, pings and a BOM: the same message."""
    parser, events = parsed(*pieces(noise + encoded(EVENTS, newline), cuts))
    assert parser.finished
    assert fold([events]) == parse_message(_json(MESSAGE))


def test_byte_by_byte() -> None:
    """One byte at a time gives the same events as all at once."""
    assert parsed(*[PLAIN[i : i + 1] for i in range(len(PLAIN))])[1] == parsed(PLAIN)[1]


@given(st.integers(0, len(PLAIN) - 2))
def test_no_truncation_looks_whole(length: int) -> None:
    """A stream cut off at any byte before its last never ends in `Finished`."""
    parser, events = parsed(PLAIN[:length])
    assert not parser.finished
    assert not any(isinstance(event, Finished) for event in events)


def test_events_of_unknown_types_are_skipped() -> None:
    """A type of event that this version doesn't know changes nothing."""
    future = [e for known in EVENTS for e in (known, {"type": "future_event", "x": 1})]
    assert parsed(encoded(future))[1] == parsed(PLAIN)[1]


def test_nothing_comes_after_the_end() -> None:
    """What follows message_stop is ignored."""
    parser, events = parsed(PLAIN + PLAIN)
    assert events == parsed(PLAIN)[1]
    assert parser.failure is None


START, OPEN, DELTA = EVENTS[0], EVENTS[1], EVENTS[2]
STOP = {"type": "message_stop"}
BROKEN: dict[str, list[dict[str, Any]]] = {
    "delta before the start": [DELTA],
    "block before the start": [OPEN],
    "stop before the start": [STOP],
    "start twice": [START, START],
    "block twice": [START, OPEN, OPEN],
    "delta of another block": [START, OPEN, {**DELTA, "index": 5}],
    "delta of no index": [START, OPEN, {**DELTA, "index": None}],
    "delta of a list of indexes": [START, OPEN, {**DELTA, "index": [0]}],
    "delta of a list of types": [START, OPEN, {**DELTA, "delta": {"type": []}}],
    "delta of no type": [START, OPEN, {**DELTA, "delta": {"text": "x"}}],
    "stop of a list of indexes": [START, OPEN, {"type": "content_block_stop", "index": [0]}],
    "delta that is a list": [START, OPEN, {**DELTA, "delta": []}],
    "delta without its text": [START, OPEN, {**DELTA, "delta": {"type": "text_delta"}}],
    "delta of a number": [START, OPEN, {**DELTA, "delta": {"type": "text_delta", "text": 1}}],
    "block that is a text": [START, {**OPEN, "content_block": "text"}],
    "block of a negative index": [START, {**OPEN, "index": -1}],
    "block of a huge index": [START, {**OPEN, "index": 2**31}],
    "stop sequence that is a number": [
        START,
        {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": 7}},
        STOP,
    ],
    "stop of a closed block": [START, {"type": "content_block_stop", "index": 0}],
    "stop with an open block": [START, OPEN, *EVENTS[-2:]],
    "stop without a reason": [START, STOP],
    "message that is null": [{"type": "message_start", "message": None}],
    "message_delta of nothing": [START, {"type": "message_delta"}],
    "type that is a list": [START, {"type": ["message_stop"]}],
}


@pytest.mark.parametrize("events", BROKEN.values(), ids=BROKEN)
def test_structural_nonsense_is_a_failure(events: list[dict[str, Any]]) -> None:
    """What breaks the order or the shape of a stream fails it, or is skipped; it isn't guessed."""
    lines = [b"data: " + _json(event) + b"\n\n" for event in events]
    parser, seen = parsed(*lines)
    assert not parser.finished
    assert not any(isinstance(event, Finished) for event in seen)
    if events[-1]["type"] != ["message_stop"]:
        assert parser.failure is not None
        assert parser.failure.kind is Kind.MALFORMED


@pytest.mark.parametrize(
    "data",
    [b"{", b"null", b"[]", b'"text"', b"{}", b"\xff", b"[" * 5_000, b"NaN", b"upstream died"],
)
def test_data_that_is_no_event_is_a_failure(data: bytes) -> None:
    """Data that isn't a JSON object with a type fails the stream, without showing the data."""
    parser, _ = parsed(encoded([START]) + b"data: " + data + b"\n\n")
    assert parser.failure is not None
    assert parser.failure.message == "an event of the stream is no JSON object with a type"


def test_events_before_a_failure_are_kept() -> None:
    """What came before an error in the same chunk is delivered, and nothing after it."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    parser, events = parsed(encoded([START, OPEN, DELTA, error, DELTA]))
    assert len(events) == 4
    assert parser.failure is not None
    assert parser.failure.kind is Kind.ERROR_EVENT
    assert (parser.failure.error_type, parser.failure.message) == ("overloaded_error", "Overloaded")
    assert parser.feed(encoded([DELTA])) == ()


@pytest.mark.parametrize(
    "raw",
    [None, [], {}, {"input_tokens": -5, "output_tokens": 1.5}, {"input_tokens": "7"}, {"x": {}}],
)
def test_counts_out_of_contract_are_zero(raw: object) -> None:
    """Counts that are missing, negative or no integers are 0, never an error or a refund."""
    usage = usage_of(raw)
    assert (usage.input_tokens, usage.output_tokens, usage.cache_write_tokens) == (0, 0, 0)


def test_usage_is_known_from_the_start() -> None:
    """The input is metered from message_start on, before any content."""
    _, events = parsed(encoded([START]))
    assert [e.input_tokens for e in events if isinstance(e, Usage)] == [7]


def test_a_long_line_in_small_pieces_stays_linear() -> None:
    """Bytes of an unfinished line are kept as they came, not copied at every piece."""
    decoder = SseDecoder()
    decoder.feed(b"data: ")
    for _ in range(5_000):
        assert decoder.feed(b"x" * 1_000) == []
    assert len(decoder._pieces) == 5_001
    assert decoder.feed(b"\n\n") == [b"x" * 5_000_000]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"content": [1], "stop_reason": "x"}', b'{"content": []}']
)
def test_what_is_no_message_is_a_failure(data: bytes) -> None:
    """A body that is no whole message is refused."""
    with pytest.raises(WireFailure):
        parse_message(data)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"type":"error","error":{"type":"api_error","message":"m"}}', ("api_error", "m")),
        (b'{"error":{"type":7,"message":"a\\nb"}}', ("", "a b")),
        (b"<html>502</html>", ("", "")),
        (b"", ("", "")),
        (b"\xff\xfe", ("", "")),
        (b'{"error":"text"}', ("", "")),
    ],
)
def test_error_bodies_of_any_kind(body: bytes, expected: tuple[str, str]) -> None:
    """An error's body is read as far as it is one, in printable text."""
    assert parse_error(body) == expected


def _json(value: object) -> bytes:
    from sidecard.core import jsonio  # noqa: PLC0415

    return jsonio.dumps(value).encode()
