"""AWS's frames in any split, whole or broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.upstream.sdk_eventstream import MAX_FRAME_BYTES, EventStreamDecoder
from tests.support.eventstream import chunk, frame
from tests.support.sse import pieces

EVENTS = [{"type": "ping"}, {"type": "content_block_delta", "text": "grüß\ndich"}]
STREAM = b"".join(map(chunk, EVENTS))
DECODED = (
    'data: {"type":"ping"}\n\ndata: {"type":"content_block_delta","text":"grüß\\ndich"}\n\n'
).encode()

# One header of each type that has a value of a fixed size, a timestamp and an id among them.
OTHERS = b"\x01a\x00\x01b\x01\x01c\x02\x07\x01d\x03\x00\x07\x01e\x04\x00\x00\x00\x07"
OTHERS += b"\x01f\x05" + bytes(8) + b"\x01g\x06\x00\x02hi" + b"\x01h\x08" + bytes(8)
OTHERS += b"\x01i\x09" + bytes(16)


@given(st.lists(st.integers(0, len(STREAM))))
def test_the_split_does_not_matter(cuts: list[int]) -> None:
    """Frames that arrive in any pieces give the same events, each as soon as it is whole."""
    decoder = EventStreamDecoder()
    assert b"".join([decoder.feed(piece) for piece in pieces(STREAM, cuts)]) == DECODED


def test_all_that_has_come_is_given_at_once() -> None:
    """Events that one read brought come out together."""
    assert EventStreamDecoder().feed(STREAM) == DECODED


def test_what_a_frame_lacks_is_waited_for() -> None:
    """A frame without its last byte gives nothing, and isn't a mistake yet."""
    decoder = EventStreamDecoder()
    assert decoder.feed(chunk({"type": "ping"})[:-1]) == b""
    assert decoder.feed(chunk({"type": "ping"})[-1:]) == b'data: {"type":"ping"}\n\n'


@pytest.mark.parametrize(
    ("headers", "payload", "kind", "message"),
    [
        ({":message-type": "exception", ":exception-type": "e"}, b'{"message":"m"}', "e", "m"),
        ({":message-type": "exception", ":exception-type": "e"}, b"no json", "e", ""),
        ({":message-type": "error", ":error-code": "c", ":error-message": "m"}, b"", "c", "m"),
        ({":message-type": "novel"}, b"[]", "api_error", ""),
    ],
)
def test_a_failure_becomes_an_error_event(
    headers: dict[str, str], payload: bytes, kind: str, message: str
) -> None:
    """What AWS says when it breaks off reads like the API's own `error` event."""
    error = f'data: {{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}\n\n'
    assert EventStreamDecoder().feed(frame(headers, payload)) == error.encode()


def test_other_headers_and_events_are_passed_over() -> None:
    """Headers of every type are skipped by their size, and events without bytes say nothing."""
    headers = {":message-type": "event"}
    assert EventStreamDecoder().feed(frame(headers, b'{"bytes":"e30="}', OTHERS)) == b"data: {}\n\n"
    assert EventStreamDecoder().feed(frame(headers, b'{"metadata":{}}')) == b""


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@given(st.integers(0, len(chunk(EVENTS[1])) - 1))
def test_a_changed_bit_is_noticed(at: int) -> None:
    """No byte of a frame can change without the checksums telling."""
    with pytest.raises(ValueError, match="frame"):
        EventStreamDecoder().feed(changed(chunk(EVENTS[1]), at))


@pytest.mark.parametrize(
    "data",
    [
        frame({}, b"", raw=b"\x01a\x0a"),
        frame({}, b"", raw=b"\xff"),
        frame({":message-type": "event"}, b'{"bytes":"?"}'),
        frame({":message-type": "event"}, b"no json"),
        frame({}, b"")[:8] + b"\xff\xff\xff\xff",
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """Broken headers, payloads and preludes are an error, not a crash and not a wait."""
    with pytest.raises(ValueError, match=r"."):
        EventStreamDecoder().feed(data + bytes(16))


def test_a_frame_may_not_be_endless() -> None:
    """A frame that claims more than AWS allows is refused before it is waited for."""
    huge = frame({}, bytes(MAX_FRAME_BYTES))
    with pytest.raises(ValueError, match="no frame"):
        EventStreamDecoder().feed(huge[:12])
