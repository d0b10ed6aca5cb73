"""Answers to the contract: whole ones, and streams batch by batch."""

from typing import Any, Final

from sidecard.core.event import Batch, Finished, Started
from sidecard.core.jsonio import JsonObject
from sidecard.core.message import Message
from sidecard.core.reply import Reply, Source
from sidecard.core.trail import Attempt
from sidecard.server.arrival import Arrival
from sidecard.server.wire.blocks_out import block_fields
from sidecard.server.wire.events_out import events_fields, stop_fields, usage_fields
from sidecard.server.wire.json_values import fitting
from sidecard.v1 import generation_pb2 as pb

Fields = dict[str, Any]

_SOURCES: Final = {source: pb.Source.Value(f"SOURCE_{source.name}") for source in Source}


def response(reply: Reply, message: Message, arrival: Arrival) -> pb.GenerateResponse:
    """Return a unary call's answer; `message` is the whole of a reply that has ended."""
    return pb.GenerateResponse(
        content=[block_fields(block) for block in message.content],
        text=message.text,
        **_about(reply, arrival),
        **_told(message.id, message.model, message.extra),
        **stop_fields(message.stop_reason, message.stop_sequence),
    )


class StreamEncoder:
    """Encodes the batches of one reply in their order. Not to be shared."""

    __slots__ = ("_arrival", "_reply", "_started")

    def __init__(self, reply: Reply, arrival: Arrival) -> None:
        self._reply = reply
        self._arrival = arrival
        self._started = Started("", "")

    def part(self, batch: Batch) -> pb.StreamGenerateResponse:
        """Return the message for the next batch; the last one tells of the whole answer."""
        first, last = batch[0], batch[-1]
        if type(first) is Started:
            self._started = first
        if type(last) is not Finished:
            return pb.StreamGenerateResponse(events=events_fields(batch))
        started = self._started
        extra = {**started.extra, **last.extra}
        return pb.StreamGenerateResponse(
            events=events_fields(batch),
            response={
                **_about(self._reply, self._arrival),
                **_told(started.message_id, started.model, extra),
                **stop_fields(last.stop_reason, last.stop_sequence),
            },
        )


def _told(message_id: str, model: str, extra: JsonObject) -> Fields:
    """Return what the upstream says of its answer."""
    fields = {"message_id": message_id, "model": model}
    return {**fields, "extra": fitting(extra)} if extra else fields


def _about(reply: Reply, arrival: Arrival) -> Fields:
    """Return what sidecard knows of an answer that has ended."""
    head, outcome = reply.head, reply.outcome
    if outcome is None:
        msg = "an answer is described when it has ended"
        raise RuntimeError(msg)
    timings = {"total": _duration(outcome.ended_at - arrival.received_at)}
    if outcome.first_event_at is not None:
        timings["first_event"] = _duration(outcome.first_event_at - arrival.received_at)
    if arrival.trail.queued_s:
        timings["queued"] = _duration(arrival.trail.queued_s)
    fields: Fields = {
        "request_id": arrival.request_id,
        "target": head.target,
        "source": _SOURCES[head.source],
        "degraded": head.degraded,
        "attempts": [_attempt(attempt) for attempt in arrival.trail],
        "timings": timings,
        # A header's, so it may be anything.
        "upstream_request_id": head.upstream_request_id.encode("ascii", "replace").decode(),
    }
    if head.age_s is not None:
        fields["age"] = _duration(head.age_s)
    if outcome.usage is not None:
        fields["usage"] = usage_fields(outcome.usage)
    return fields


def _attempt(attempt: Attempt) -> Fields:
    if not attempt.error:
        outcome = pb.Attempt.OUTCOME_ANSWERED
    elif not attempt.sent:
        outcome = pb.Attempt.OUTCOME_SKIPPED
    else:
        outcome = pb.Attempt.OUTCOME_FAILED
    return {
        "number": attempt.number,
        "target": attempt.target,
        "outcome": outcome,
        "error": attempt.error,
        "duration": _duration(attempt.duration_s),
    }


def _duration(seconds: float) -> Fields:
    """Return what the constructor of Duration takes; nothing takes less than no time."""
    whole, nanos = divmod(max(0, round(seconds * 1e9)), 1_000_000_000)
    return {"seconds": whole, "nanos": nanos}
