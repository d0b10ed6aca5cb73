"""The wire parser: any bytes of a good stream give its message, and no bad one looks whole."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core import jsonio
from sidecard.core.event import Event, Finished, Started, Usage
from sidecard.core.fold import fold
from sidecard.upstream.wire.events import EventParser
from sidecard.upstream.wire.failure import Kind
from sidecard.upstream.wire.message import parse_message
from tests.support.sse import encoded, pieces, record, streamed

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


@given(st.lists(st.integers(0, 5_000), max_size=12))
def test_any_split(cuts: list[int]) -> None:
    """A stream that is cut anywhere is the message that the API sends unstreamed."""
    parser, events = parsed(*pieces(PLAIN, cuts))
    assert parser.finished
    assert fold([events]) == parse_message(jsonio.dumps(MESSAGE).encode())


def test_byte_by_byte() -> None:
    """One byte at a time gives the same events as all at once."""
    assert parsed(*[PLAIN[i : i + 1] for i in range(len(PLAIN))])[1] == parsed(PLAIN)[1]


def test_no_truncation_looks_whole() -> None:
    """A stream that is cut off at any byte before its last never ends in `Finished`."""
    for length in range(len(PLAIN)):
        parser, events = parsed(PLAIN[:length])
        assert not parser.finished
        assert not any(isinstance(event, Finished) for event in events)


def test_events_of_unknown_types_are_skipped() -> None:
    """A type of event that this version doesn't know changes nothing."""
    future = [e for known in EVENTS for e in (known, {"type": "future_event", "x": 1})]
    assert parsed(encoded(future))[1] == parsed(PLAIN)[1]


def test_what_stands_beside_the_last_delta_is_the_messages() -> None:
    """The API has fields of the message there, as `context_management`."""
    edits = {"applied_edits": [{"type": "clear_tool_uses_20250919"}]}
    told = [e | ({"context_management": edits} if "delta" in e else {}) for e in EVENTS]
    message = fold([parsed(encoded(told))[1]])
    assert message.extra == {"stop_details": None, "context_management": edits}


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
    "content that is a number": [{**START, "message": {"content": 5}}],
    "content that is an object": [{**START, "message": {"content": {"0": {}}}}],
    "content that is no block": [{**START, "message": {"content": ["text"]}}],
    "message that is null": [{"type": "message_start", "message": None}],
    "message_delta of nothing": [START, {"type": "message_delta"}],
    "type that is a list": [START, {"type": ["message_stop"]}],
}


@pytest.mark.parametrize("events", BROKEN.values(), ids=BROKEN)
def test_structural_nonsense_is_a_failure(events: list[dict[str, Any]]) -> None:
    """What breaks the order or the shape of a stream fails it, or is skipped; it isn't guessed."""
    lines = [b"data: " + jsonio.dumps(event).encode() + b"\n\n" for event in events]
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


ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize("before", range(len(EVENTS)))
def test_an_error_ends_the_stream_anywhere(before: int) -> None:
    """What came before an error in the same chunk is delivered, and nothing after it."""
    parser, events = parsed(encoded([*EVENTS[:before], ERROR, *EVENTS[before:]]))
    assert events == parsed(encoded(EVENTS[:before]))[1]
    assert not parser.finished
    assert parser.failure is not None
    assert parser.failure.kind is Kind.ERROR_EVENT
    assert (parser.failure.error_type, parser.failure.message) == ("overloaded_error", "Overloaded")
    assert parser.feed(PLAIN) == ()


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        ({"type": "error"}, "", "the answer ended in an error"),
        ({"type": "error", "error": None}, "", "the answer ended in an error"),
        (
            {"type": "error", "error": {"type": [], "message": 5}},
            "",
            "the answer ended in an error",
        ),
        ({"type": "error", "error": {"message": "a\nb"}}, "", "a b"),
        ({"error": {"type": "rate_limit_error", "message": "m"}}, "rate_limit_error", "m"),
        ({"error": "died"}, "", "died"),
    ],
)
def test_errors_of_any_form_are_errors(event: dict[str, Any], kind: str, message: str) -> None:
    """An error that lacks its parts, or that a gateway wrote in its own way, is still one."""
    parser, _ = parsed(encoded([START]) + b"data: " + jsonio.dumps(event).encode() + b"\n\n")
    assert parser.failure is not None
    assert parser.failure.kind is Kind.ERROR_EVENT
    assert (parser.failure.error_type, parser.failure.message) == (kind, message)


def test_content_that_comes_with_the_start() -> None:
    """Blocks that message_start already holds are whole blocks of the answer."""
    block = {"type": "text", "text": "early"}
    start = {**START, "message": {**START["message"], "content": [block]}}
    parser, events = parsed(encoded([start, *EVENTS[-2:]]))
    assert parser.finished
    assert fold([events]).content == (block,)


def test_an_id_that_is_no_text_is_none() -> None:
    """A null id or model isn't called "None"."""
    _, events = parsed(record({"type": "message_start", "message": {"id": None, "model": 7}}))
    assert events[0] == Started("", "")


def test_usage_is_known_from_the_start() -> None:
    """The input is metered from message_start on, before any content."""
    _, events = parsed(encoded([START]))
    assert [e.input_tokens for e in events if isinstance(e, Usage)] == [7]
