"""Messages as the API streams them: the other side of `sidecard.upstream.wire`."""

from collections.abc import Iterable, Iterator
from typing import Any

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

Json = dict[str, Any]

_AT_THE_STOP = ("stop_reason", "stop_sequence", "stop_details")


def streamed(message: JsonObject) -> Iterator[Json]:
    """Yield the events that the API sends for `message`, which is its JSON when unstreamed."""
    usage = {**message["usage"], "output_tokens": 1}
    opening = {**message, "content": [], **dict.fromkeys(_AT_THE_STOP), "usage": usage}
    yield {"type": "message_start", "message": opening}
    for index, block in enumerate(message["content"]):
        opened, deltas = _opened(block)
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = {key: message.get(key) for key in _AT_THE_STOP}
    yield {"type": "message_delta", "delta": stop, "usage": message["usage"]}
    yield {"type": "message_stop"}


def _opened(block: JsonObject) -> tuple[Json, list[Json]]:
    """Return a block before its deltas, and the deltas."""
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in halves(block["text"])]
            cited = [
                {"type": "citations_delta", "citation": citation}
                for citation in block.get("citations") or ()
            ]
            return {**block, "text": "", **({"citations": []} if cited else {})}, deltas + cited
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])
            ]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
        case "tool_use" | "server_tool_use":
            text = jsonio.dumps(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in halves(text)]
            return {**block, "input": {}}, deltas
        case _:
            return dict(block), []


def halves(text: str) -> list[str]:
    """Return `text` in two pieces."""
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def on_the_wire(events: Batch) -> Iterator[Json]:
    """Yield the API's events for those of the core."""
    for event in events:
        yield from _on_the_wire(event)


def _on_the_wire(event: Event) -> Iterator[Json]:
    match event:
        case Started(message_id, model, extra):
            message = {**extra, "id": message_id, "model": model, "content": []}
            yield {"type": "message_start", "message": message}
        case Usage(raw=raw):
            yield {"type": "message_delta", "delta": {}, "usage": raw}
        case BlockStarted(index, block):
            yield {"type": "content_block_start", "index": index, "content_block": block}
        case Delta(index, delta):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        case BlockStopped(index):
            yield {"type": "content_block_stop", "index": index}
        case Finished(reason, sequence, extra):
            stop = {**extra, "stop_reason": reason, "stop_sequence": sequence}
            yield {"type": "message_delta", "delta": stop}
            yield {"type": "message_stop"}


def record(event: JsonObject) -> bytes:
    """Return the bytes of one event, as the API frames it."""
    return f"event: {event['type']}\ndata: {jsonio.dumps(event)}\n\n".encode()


def encoded(events: Iterable[JsonObject]) -> bytes:
    """Return the bytes of the events."""
    return b"".join([record(event) for event in events])


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """Yield `data` cut at those places."""
    last = 0
    for cut in sorted({cut % (len(data) + 1) for cut in cuts}):
        yield data[last:cut]
        last = cut
    yield data[last:]
