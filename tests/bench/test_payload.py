"""What the mock says is what the API would, byte by byte."""

import json

import pytest

from sidecard.core.fold import Folder
from sidecard.upstream.wire.events import EventParser
from sidecard.upstream.wire.message import parse_message
from tests.bench import payload


def _unchunked(body: bytes) -> bytes:
    rest = body
    pieces: list[bytes] = []
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert rest == b"\r\n"
            return b"".join(pieces)
        pieces.append(rest[:length])
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]


@pytest.mark.parametrize("deltas", [payload.DELTAS, payload.PACED_DELTAS, payload.BURST_DELTAS])
def test_a_stream_is_whole_and_adds_up(deltas: int) -> None:
    """The daemon's own parser takes it for a proper answer with all of the text."""
    head, _, body = payload.stream(deltas).partition(b"\r\n\r\n")
    assert b"text/event-stream" in head
    parser, folder = EventParser(), Folder()
    folder.add(parser.feed(_unchunked(body)))
    assert parser.finished
    message = folder.message()
    assert message.text == payload.text_of(deltas)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (25, 48)


def test_the_unstreamed_answer_says_the_same() -> None:
    """It has the length that it names, and the text of the stream."""
    head, _, body = payload.unary().partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert parse_message(body).text == payload.TEXT
    assert len(payload.TEXT) == 200


def test_only_a_request_for_a_stream_asks_for_one() -> None:
    """The mock tells them apart by that field."""
    asked = [json.loads(payload.request("?", stream=stream)) for stream in (False, True)]
    assert [body.get("stream") for body in asked] == [None, True]
