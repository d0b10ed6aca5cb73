"""Answers in Anthropic's own form: whole ones, and streams as server-sent events."""

from collections.abc import Iterator
from typing import Final

from sidecard.core import jsonio
from sidecard.core.event import (
    Batch,
    BlockStarted,
    BlockStopped,
    Delta,
    Event,
    Finished,
    Started,
    Usage,
)
from sidecard.core.jsonio import JsonObject
from sidecard.core.message import Message
from sidecard.core.reply import Head
from sidecard.core.trail import Trail

JSON: Final = "application/json"
_BESIDE: Final = frozenset({"context_management"})
"""Fields of a message that its `message_delta` has beside the delta."""


def ids_of(request_id: str) -> dict[str, str]:
    """Return the headers of every answer: the id in the API's name, and in ours."""
    return {"request-id": request_id, "x-sidecard-request-id": request_id}


def headers_of(head: Head, request_id: str) -> dict[str, str]:
    """Return what is known of an answer when it is committed to."""
    headers = {
        **ids_of(request_id),
        "x-sidecard-source": head.source.name,
        "x-sidecard-target": head.target,
        "x-sidecard-degraded": "true" if head.degraded else "false",
    }
    if head.age_s is not None:
        headers["age"] = str(int(head.age_s))
    if head.upstream_request_id.isascii() and head.upstream_request_id.isprintable():
        headers["x-sidecard-upstream-request-id"] = head.upstream_request_id
    return headers


def cost_of(trail: Trail) -> dict[str, str]:
    """Return how often was tried and what that cost, as it is known when the answer is whole."""
    return {f"x-sidecard-{key.replace('_', '-')}": str(n) for key, n in _cost(trail).items()}


def whole(message: Message) -> bytes:
    """Return the body of a whole answer."""
    body = {
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": message.content,
        "stop_reason": message.stop_reason,
        "stop_sequence": message.stop_sequence,
        "usage": _usage(message.usage),
        **message.extra,
    }
    return jsonio.dumps(body).encode("utf-8", "surrogatepass")


class StreamEncoder:
    """Encodes the batches of one reply in their order. Not to be shared.

    Its last event has as `sidecard` what the headers couldn't know: the attempts, and their cost.
    """

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._started: Started | None = None
        self._usage = Usage()

    def part(self, batch: Batch) -> bytes:
        """Return the server-sent events for a batch, which may be none."""
        return b"".join([sent for event in batch for sent in self._events(event)])

    def _events(self, event: Event) -> Iterator[bytes]:
        if isinstance(event, Usage):
            self._usage = event
        if self._started is not None:
            # The first event of the API tells the input's tokens: it waits for them.
            yield _sse("message_start", message=_opening(self._started, self._usage))
            self._started = None
        match event:
            case Started():
                self._started = event
            case BlockStarted():
                yield _sse("content_block_start", index=event.index, content_block=event.block)
            case Delta():
                yield _sse("content_block_delta", index=event.index, delta=event.delta)
            case BlockStopped():
                yield _sse("content_block_stop", index=event.index)
            case Finished():
                stop = {"stop_reason": event.stop_reason, "stop_sequence": event.stop_sequence}
                beside = {key: event.extra[key] for key in _BESIDE & event.extra.keys()}
                within = {k: value for k, value in event.extra.items() if k not in beside}
                usage = _usage(self._usage)
                yield _sse("message_delta", delta={**stop, **within}, usage=usage, **beside)
                yield _sse("message_stop", sidecard=_cost(self._trail))


def failed(kind: str, message: str, request_id: str, **more: object) -> bytes:
    """Return the body of an error."""
    error = {"type": kind, "message": message, **more}
    told = {"type": "error", "error": error, "request_id": request_id}
    return jsonio.dumps(told).encode("utf-8", "surrogatepass")


def broke(kind: str, message: str, **more: object) -> bytes:
    """Return the event that ends a stream which isn't whole."""
    return _sse("error", error={"type": kind, "message": message, **more})


def _cost(trail: Trail) -> dict[str, int]:
    cost = trail.cost_nano_usd
    return {"attempts": trail.sent} | ({} if cost is None else {"cost_nano_usd": cost})


def _opening(started: Started, usage: Usage) -> JsonObject:
    return {
        "id": started.message_id,
        "type": "message",
        "role": "assistant",
        "model": started.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(usage),
        **started.extra,
    }


def _usage(usage: Usage) -> JsonObject:
    return {
        **usage.raw,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
    }


def _sse(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {jsonio.dumps({'type': kind, **fields})}\n\n".encode(
        "utf-8", "surrogatepass"
    )
