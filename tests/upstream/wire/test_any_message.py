"""Over the wire and back: any message arrives as it was, and any nonsense is met with calm."""

from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecard.core.event import Delta
from sidecard.core.fold import fold, unfold
from sidecard.core.message import Message
from sidecard.upstream.wire.events import EventParser
from tests.support.messages import JSON, MESSAGES, OBJECT
from tests.support.script import a_message
from tests.support.sse import encoded, on_the_wire, pieces, record

NOISE = st.sampled_from(
    [
        b": a comment\n",
        b"\n",
        b"id: 7\nretry: 10\n",
        b"data:\n\n",
        record({"type": "ping"}),
        b"event: ping\ndata:\n\n",
        record({"type": "future_event", "index": 0, "delta": {"type": "text_delta", "text": "x"}}),
    ]
)
CUTS = st.lists(st.integers(0, 5_000), max_size=8)
SLOW = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def regular(message: Message) -> bool:
    """Whether the API could send it: the parser refuses text deltas without their text."""
    deltas = [event.delta for event in unfold(message) if isinstance(event, Delta)]
    texts = [delta.get(TEXTS[delta["type"]]) for delta in deltas if delta["type"] in TEXTS]
    return all(isinstance(text, str) for text in texts)


@SLOW
@given(
    MESSAGES.filter(regular),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(NOISE, max_size=4),
    CUTS,
)
def test_any_message_in_any_framing(
    message: Message, end: bytes, noise: list[bytes], cuts: list[int]
) -> None:
    """Split anywhere, with any line ends, comments, pings and unknown events: the same message."""
    records = [record(event) for event in on_the_wire(unfold(message))]
    for place, said in enumerate(noise):
        records.insert(place * len(records) // len(noise), said)
    parser = EventParser()
    data = b"".join(records).replace(b"\n", end)
    batches = [parser.feed(piece) for piece in pieces(data, cuts)]
    assert parser.finished
    arrived = fold(batches)
    assert (arrived.content, arrived.extra) == (message.content, message.extra)
    assert (arrived.id, arrived.model) == (message.id, message.model)
    assert arrived.stop_reason == message.stop_reason


def nested(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) for each place in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    places = [(value, key) for key in keys]
    inner = [value[key] for key in keys if isinstance(value[key], dict | list)]
    return places + [place for each in inner for place in nested(each)]


VALUES = JSON | st.sampled_from(
    ["text", "text_delta", "tool_use", "message_start", "message_stop", "error", 0, 1, [], {}]
)


@st.composite
def nonsense(draw: st.DrawFn) -> list[Any]:
    """Return a message's events with a few of their values, or themselves, exchanged."""
    text = {"type": "text", "text": "a", "citations": [{}]}
    tool = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}
    message = a_message(content=(text, tool), extra=draw(OBJECT))
    events = deepcopy(list(on_the_wire(unfold(message))))
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(nested(events)))
        match draw(st.sampled_from(["replace", "remove", "twice"])):
            case "replace":
                container[key] = draw(VALUES)
            case "remove" if events[1:]:
                del container[key]
            case _:
                events.append(draw(st.sampled_from(events)))
    return events


@SLOW
@given(nonsense())
def test_nonsense_is_a_failure_or_a_whole_message(events: list[Any]) -> None:
    """Whatever the values are, nothing is raised, and what finishes can be used like any other."""
    parser = EventParser()
    batches = [parser.feed(b"event: e\ndata: %b\n\n" % encoded_value(event)) for event in events]
    assert not (parser.finished and parser.failure)
    if parser.finished:
        message = fold(batches)
        assert isinstance(message.text, str)
        assert fold([unfold(message)]) == message


def encoded_value(event: Any) -> bytes:
    return encoded([{"type": "e", "e": event}]).split(b'"e":', 1)[1].removesuffix(b"}\n\n")


@given(st.lists(st.binary(max_size=20) | NOISE, max_size=6), st.booleans())
def test_bytes_of_any_kind_raise_nothing(chunks: list[bytes], data: bool) -> None:  # noqa: FBT001
    """Bytes that nobody meant as a stream finish no stream."""
    parser = EventParser()
    for chunk in chunks:
        assert parser.feed(b"data: %b\n\n" % chunk if data else chunk) == ()
    assert not parser.finished
