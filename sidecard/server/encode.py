"""Answers to the contract: whole ones, and streams batch by batch."""

from typing import Final

from google.protobuf.duration_pb2 import Duration

from sidecard.core.event import NO_USAGE, Batch, Checked, Finished, Started, Usage
from sidecard.core.message import Message
from sidecard.core.outcome import Outcome
from sidecard.core.ports import Hit
from sidecard.core.reply import Head, Reply, Source
from sidecard.core.trail import Attempt
from sidecard.server.arrival import Arrival
from sidecard.server.recall import Recalled
from sidecard.server.wire.blocks_out import block_fields
from sidecard.server.wire.events_out import events_fields, usage_fields
from sidecard.server.wire.json_values import fitting
from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.content_pb2 import ContentBlock

_NANO: Final = 1_000_000_000
_SOURCES: Final = {source: getattr(pb, f"SOURCE_{source.name}") for source in Source}


def response(reply: Reply, message: Message, arrival: Arrival) -> pb.GenerateResponse:
    """Return a unary call's answer; `message` is the whole of a reply that has ended."""
    answer = _message(message)
    _describe(answer, reply.head, reply.outcome, arrival)
    return answer


def _message(message: Message) -> pb.GenerateResponse:
    """Return what the upstream's message says."""
    answer = pb.GenerateResponse(
        text=message.text,
        message_id=message.id,
        model=message.model,
        stop_reason=message.stop_reason,
        output_json=message.output_json,
    )
    for block in message.content:
        # By far the most are plain text, and a message is filled quicker than made of a dict.
        if block.get("type") == "text" and len(block) == 2 and type(block["text"]) is str:  # noqa: PLR2004
            answer.content.add().text.text = block["text"]
        else:
            answer.content.append(ContentBlock(**block_fields(block)))
    if message.stop_sequence:
        answer.stop_sequence = message.stop_sequence
    if message.extra:
        answer.extra.update(fitting(message.extra))
    return answer


def hit(found: Hit, known: Recalled, arrival: Arrival) -> bytes:
    """Return a hit's answer, serialized: what the message says, and then what is of this call.

    One serialized message after another of its type is both merged
    (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
    """
    head, outcome = found.head, found.outcome
    if found.message is not known.message:
        known.message = found.message
        known.encoded = _message(found.message).SerializeToString()
        known.about.Clear()
        _describe(known.about, head, outcome, arrival)
        known.about.age.SetInParent()
        timings = known.about.timings
        known.durations = timings.total, timings.first_event, known.about.age
    return hit_again(known, arrival, head.age_s or 0.0, outcome.ended_at)


def hit_again(known: Recalled, arrival: Arrival, age_s: float, ended_at: float) -> bytes:
    """Return the answer of the hit before, serialized for another call.

    All but these is as it was: measured, telling it anew takes four times as long.
    """
    known.about.request_id = arrival.request_id
    total, first_event, age = known.durations
    _set(total, ended_at - arrival.received_at)
    first_event.seconds, first_event.nanos = total.seconds, total.nanos  # It came at once.
    _set(age, age_s)
    return known.encoded + known.about.SerializeToString()


class StreamEncoder:
    """Encodes the batches of one reply in their order. Not to be shared."""

    __slots__ = ("_arrival", "_output_json", "_reply", "_started")

    def __init__(self, reply: Reply, arrival: Arrival) -> None:
        self._reply = reply
        self._arrival = arrival
        self._started = Started("", "")
        self._output_json = ""

    def part(self, batch: Batch) -> pb.StreamGenerateResponse:
        """Return the message for the next batch; the last one tells of the whole answer."""
        first, last = batch[0], batch[-1]
        if type(first) is Started:
            self._started = first
        if type(last) is not Finished:
            return pb.StreamGenerateResponse(events=events_fields(batch))
        for event in batch:
            if type(event) is Checked:
                self._output_json = event.output_json
        started = self._started
        part = pb.StreamGenerateResponse(events=events_fields(batch))
        told = part.response
        told.message_id, told.model = started.message_id, started.model
        told.stop_reason, told.stop_sequence = last.stop_reason, last.stop_sequence or ""
        told.output_json = self._output_json
        if extra := {**started.extra, **last.extra}:
            told.extra.update(fitting(extra))
        _describe(told, self._reply.head, self._reply.outcome, self._arrival)
        return part


def _describe(
    answer: pb.GenerateResponse, head: Head, outcome: Outcome | None, arrival: Arrival
) -> None:
    """Add what sidecard knows of an answer that has ended."""
    trail = arrival.trail
    if outcome is None:
        msg = "an answer is described when it has ended"
        raise RuntimeError(msg)
    answer.request_id = arrival.request_id
    answer.target = head.target
    answer.source = _SOURCES[head.source]
    if head.degraded:
        answer.degraded = True
    for attempt in trail:
        _add_attempt(answer.attempts.add(), attempt)
    if head.upstream_request_id:
        # A header's, so it may be anything.
        answer.upstream_request_id = head.upstream_request_id.encode("ascii", "replace").decode()
    timings = answer.timings
    _set(timings.total, outcome.ended_at - arrival.received_at)
    if outcome.first_event_at is not None:
        _set(timings.first_event, outcome.first_event_at - arrival.received_at)
    if trail.queued_s:
        _set(timings.queued, trail.queued_s)
    if head.age_s is not None:
        _set(answer.age, head.age_s)
    if (cost := trail.cost_nano_usd) is not None:
        answer.cost_nano_usd = cost
    if outcome.usage is not None:
        _add_usage(answer, outcome.usage)


def _add_usage(answer: pb.GenerateResponse, usage: Usage) -> None:
    told = answer.usage
    told.SetInParent()  # It is there, also where nothing was used.
    if usage != NO_USAGE:
        for name, number in usage_fields(usage).items():
            setattr(told, name, number)


def _add_attempt(told: pb.Attempt, attempt: Attempt) -> None:
    if not attempt.error:
        told.outcome = pb.Attempt.OUTCOME_ANSWERED
    elif not attempt.sent:
        told.outcome = pb.Attempt.OUTCOME_SKIPPED
    else:
        told.outcome = pb.Attempt.OUTCOME_FAILED
    told.number, told.target, told.error = attempt.number, attempt.target, attempt.error
    _set(told.duration, attempt.duration_s)


def _set(duration: Duration, seconds: float) -> None:
    """Set a duration; nothing takes less than no time."""
    nanos = round(seconds * 1e9)
    if 0 <= nanos < _NANO:  # Nearly always, and a third of the time.
        duration.seconds, duration.nanos = 0, nanos
    else:
        duration.seconds, duration.nanos = divmod(max(0, nanos), _NANO)
