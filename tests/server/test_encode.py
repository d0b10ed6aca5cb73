"""Answers to the contract: what a caller gets of a message, whole or as it comes."""

from dataclasses import replace
from typing import Any

import pytest

from sidecard.core.event import (
    NO_USAGE,
    Batch,
    BlockStarted,
    BlockStopped,
    Delta,
    Finished,
    Started,
    Usage,
)
from sidecard.core.fold import unfold
from sidecard.core.message import Message
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import Hit
from sidecard.core.reply import Head, Reply, Source
from sidecard.core.trail import Trail
from sidecard.server import encode
from sidecard.server.arrival import Arrival
from sidecard.server.recall import Recalled
from sidecard.server.wire.json_values import struct_to_json
from sidecard.server.wire.violations import Violations
from sidecard.v1 import generation_pb2 as pb
from tests.support.clock import ManualClock
from tests.support.script import CLOSING, HEAD, MIDDLE, OPENING, ScriptedStream, a_call

ARRIVAL = Arrival("req-1", received_at=998.5, deadline=1_060.0)
MESSAGE = Message(
    id="msg_1",
    model="claude-test",
    content=(
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hello"},
        {"type": "text", "text": " you", "citations": None},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"n": 2**70}},
        {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
    ),
    stop_reason="tool_use",
    usage=Usage(1, 2, 3, 4, 5, 6),
    extra={"container": None, "stop_details": {"kind": "x"}},
)


async def answered(
    message: Message, head: Head = HEAD, arrival: Arrival = ARRIVAL
) -> pb.GenerateResponse:
    clock = ManualClock()
    reply = Reply.whole(head, message, clock)
    return _crossed(encode.response(reply, await reply.message(), arrival))


def tried() -> Trail:
    """Return the trail of a call that failed at one target, skipped one, and was answered."""
    trail = Trail()
    first = trail.begin("a", 0.0)
    first.duration_s, first.error = 0.25, "UPSTREAM_THROTTLED"
    trail.skip("b", 0.25, "BREAKER_OPEN")
    trail.begin("claude-test", 0.25).duration_s = 1.000_000_001
    return trail


async def streamed(*batches: Batch, head: Head = HEAD) -> list[pb.StreamGenerateResponse]:
    clock = ManualClock()
    reply = Reply(head, ScriptedStream(batches), clock)
    encoder = encode.StreamEncoder(reply, ARRIVAL)
    parts = []
    async for batch in reply:
        part = encoder.part(batch).SerializeToString()
        parts.append(pb.StreamGenerateResponse.FromString(part))
        clock.advance(0.25)
    return parts


def _crossed(response: pb.GenerateResponse) -> pb.GenerateResponse:
    return pb.GenerateResponse.FromString(response.SerializeToString())


async def test_a_whole_answer_has_everything() -> None:
    """Blocks, text, reason, usage, ids and times are all in the one message."""
    head = Head(
        Source.UPSTREAM,
        "claude-test",
        degraded=True,
        upstream_request_id="req_up\udcff",
    )
    answer = await answered(MESSAGE, head, Arrival("req-1", 998.5, 1_060.0, tried()))
    assert answer == pb.GenerateResponse(
        request_id="req-1",
        content=[
            {"thinking": {"thinking": "hm", "signature": "s"}},
            {"text": {"text": "Hello"}},
            {"text": {"text": " you"}, "extra": {"citations": None}},
            {"tool_use": {"id": "t1", "name": "look", "input_json": f'{{"n":{2**70}}}'}},
            {"tool_use": {"id": "t2", "name": "now", "input_json": "{}"}},
        ],
        text="Hello you",
        stop_reason="tool_use",
        model="claude-test",
        target="claude-test",
        source="SOURCE_UPSTREAM",
        degraded=True,
        attempts=[
            _attempt(1, "a", "OUTCOME_FAILED", "UPSTREAM_THROTTLED", nanos=250_000_000),
            _attempt(2, "b", "OUTCOME_SKIPPED", "BREAKER_OPEN"),
            _attempt(3, "claude-test", "OUTCOME_ANSWERED", "", seconds=1, nanos=1),
        ],
        usage={
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_tokens": 3,
            "cache_write_tokens": 4,
            "cache_write_1h_tokens": 5,
            "web_search_requests": 6,
        },
        timings={
            "first_event": {"seconds": 1, "nanos": 500_000_000},
            "total": {"seconds": 1, "nanos": 500_000_000},
        },
        message_id="msg_1",
        upstream_request_id="req_up?",
        extra={"container": None, "stop_details": {"kind": "x"}},
    )


def _attempt(number: int, target: str, outcome: str, error: str, **duration: int) -> Any:
    return pb.Attempt(
        number=number,
        target=target,
        outcome=outcome,
        error=error,
        duration=duration,
    )


@pytest.mark.parametrize("source", Source)
async def test_every_source_has_its_name(source: Source) -> None:
    """Where an answer comes from is told in the contract's words."""
    answer = await answered(MESSAGE, replace(HEAD, source=source))
    assert pb.Source.Name(answer.source) == f"SOURCE_{source.name}"


async def test_what_extra_cannot_hold_is_its_json() -> None:
    """A field of the message that a Struct would change comes as its JSON text."""
    answer = await answered(replace(MESSAGE, extra={"a": 1, "big": [2**60]}))
    assert dict(answer.extra.items()) == {"a": 1, "big": f"[{2**60}]"}


async def test_a_cut_off_input_is_given_as_it_is() -> None:
    """A tool's arguments that max_tokens cut off are the text that there is of them."""
    block = {"type": "tool_use", "id": "i", "name": "n", "input": {}, "partial_input_json": '{"a":'}
    answer = await answered(replace(MESSAGE, content=(block,)))
    assert answer.content[0].tool_use.input_json == '{"a":'
    assert not answer.content[0].HasField("extra")


def test_a_hit_is_told_anew_each_time() -> None:
    """What is kept encoded of an answer says nothing of the call that it was first told to."""
    head = Head(Source.CACHE_EXACT, "claude-test", age_s=4.5)
    message = Message("m", "claude-test", ({"type": "text", "text": "hi"},), "end_turn")
    known = Recalled(a_call(), b"key")
    for request_id, at in (("first", 1.5), ("second", 3_002.25)):
        arrival = Arrival(request_id, 1.0, 9_000.0)
        found = Hit(
            message,
            replace(head, age_s=at),
            Outcome(Ending.COMPLETED, NO_USAGE, None, at, at),
        )
        told = pb.GenerateResponse.FromString(encode.hit(found, known, arrival))
        anew = pb.GenerateResponse.FromString(
            encode.hit(found, Recalled(a_call(), b"key"), arrival)
        )
        assert told == anew
        assert (told.request_id, told.text) == (request_id, "hi")
        for took in (told.timings.total, told.timings.first_event):
            assert took.ToTimedelta().total_seconds() == at - 1.0
        assert told.age.ToTimedelta().total_seconds() == at
        assert len(told.content) == 1


async def test_a_stream_ends_with_the_answer_without_its_content() -> None:
    """Each read is one message, and only the last one has `response`."""
    first, second, third = await streamed(OPENING, MIDDLE, CLOSING)
    assert [event.WhichOneof("event") for event in first.events] == [
        "started",
        "usage",
        "block_started",
        "text_delta",
    ]
    assert [event.text_delta for event in second.events] == ["lo"]
    assert [event.WhichOneof("event") for event in third.events] == [
        "block_stopped",
        "usage",
        "finished",
    ]
    assert [part.HasField("response") for part in (first, second, third)] == [False, False, True]
    response = third.response
    assert (response.text, len(response.content)) == ("", 0)
    assert (response.message_id, response.model) == ("msg_1", "claude-test")
    assert (response.request_id, response.stop_reason) == ("req-1", "end_turn")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 3)
    assert response.timings.first_event.ToTimedelta().total_seconds() == 1.5
    assert response.timings.total.ToTimedelta().total_seconds() == 2.0


async def test_a_stream_says_what_the_whole_answer_says() -> None:
    """The last message and the unary answer agree in all but content and text."""
    (part,) = await streamed(unfold(MESSAGE))
    whole = await answered(MESSAGE)
    del whole.content[:]
    whole.text = ""
    assert part.response == whole


async def test_late_fields_of_the_message_join_the_early_ones() -> None:
    """What the upstream adds at the start and at the end is in the last message's `extra`."""
    opening = (Started("m", "claude-test", {"container": "c"}),)
    closing = (Finished("stop_sequence", "END", {"stop_details": None}),)
    last = (await streamed(opening, closing))[-1]
    assert dict(last.response.extra.items()) == {"container": "c", "stop_details": None}
    assert (last.events[0].finished.stop_sequence, last.response.stop_sequence) == ("END", "END")


@pytest.mark.parametrize(
    ("delta", "field", "value"),
    [
        ({"type": "text_delta", "text": "t\U0001f600"}, "text_delta", "t\U0001f600"),
        ({"type": "thinking_delta", "thinking": "t"}, "thinking_delta", "t"),
        ({"type": "signature_delta", "signature": "s"}, "signature_delta", "s"),
        ({"type": "input_json_delta", "partial_json": "{"}, "input_json_delta", "{"),
        ({"type": "citations_delta", "citation": {"a": 1}}, "citation_delta", {"a": 1}),
        ({"type": "text_delta", "text": "t", "new": 1}, "raw_delta", None),
        ({"type": "text_delta", "text": None}, "raw_delta", None),
        ({"type": "citations_delta", "citation": {"a": 2**60}}, "raw_delta_json", None),
        ({"type": "new_delta", "n": 1}, "raw_delta", None),
        ({"type": ["odd"], "n": 1}, "raw_delta", None),
        ({"n": 2**60}, "raw_delta_json", '{"n":1152921504606846976}'),
    ],
)
async def test_every_delta_has_its_field(delta: dict[str, Any], field: str, value: Any) -> None:
    """A delta goes as its own field, or whole where that would lose something of it."""
    (part,) = await streamed((Delta(3, delta), Finished("end_turn")))
    event = part.events[0]
    assert (event.index, event.WhichOneof("event")) == (3, field)
    found = getattr(event, field)
    if field == "raw_delta":
        assert struct_to_json(found, "", Violations()) == delta
    elif value is not None:
        assert (dict(found.items()) if isinstance(value, dict) else found) == value


async def test_a_block_opens_empty() -> None:
    """The input of a tool use is no JSON yet when it opens, so that deltas can just be added."""
    tool = {"type": "tool_use", "id": "i", "name": "n", "input": {}}
    text = {"type": "text", "text": ""}
    events: Batch = (BlockStarted(0, tool), BlockStopped(0), BlockStarted(1, text))
    (part,) = await streamed((*events, Finished("end_turn")))
    assert part.events[0].block_started.tool_use.input_json == ""
    assert part.events[2].block_started.WhichOneof("block") == "text"


async def test_no_answer_is_described_before_its_end() -> None:
    """Asking too early is a bug that shows."""
    reply = Reply(HEAD, ScriptedStream([MIDDLE]), ManualClock())
    with pytest.raises(RuntimeError, match="has ended"):
        encode.response(reply, MESSAGE, ARRIVAL)
    await reply.aclose()
