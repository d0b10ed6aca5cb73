"""An answer as the API streams it: which events, in which order, and their bytes.

`message_start`, then for each block `content_block_start` (after the first a `ping`),
`content_block_delta`s and `content_block_stop`, then `message_delta` and `message_stop`.
A script counts events from here: the first three are the preamble, the fourth is the first content.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.simulator.answers import Answer
from sidecard.simulator.pace import Pace
from sidecard.simulator.prompt import tokens_of

PREAMBLE_EVENTS: Final = 3
_JSON_PIECE: Final = 16
_LATE: Final = ("output_tokens_details", "server_tool_use", "iterations")
"""What of a usage object comes at the end of a stream."""

_EMPTY: Final[dict[str, JsonObject]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """One event: its payload, how long it lets wait, and the output tokens that it costs."""

    event: dict[str, Any]
    wait_s: float = 0.0
    tokens: int = 0

    def encode(self) -> bytes:
        """Return the event as the API writes it."""
        return encode(self.event["type"], jsonio.dumps(self.event))


PING: Final = Spoken({"type": "ping"})


def encode(name: str, data: str) -> bytes:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {data}\n\n".encode()


def speak(answer: Answer, pace: Pace) -> list[Spoken]:
    """Return the events that add up to `answer.message()`."""
    usage = answer.usage()
    late: dict[str, Any] = {name: usage.pop(name) for name in _LATE if name in usage}
    started = {**answer.message(), "content": [], "stop_reason": None, "stop_sequence": None}
    started["usage"] = {**usage, "output_tokens": 1}
    spoken = [Spoken({"type": "message_start", "message": started}, pace.first_event_s)]
    for index, block in enumerate(answer.content):
        spoken.extend(_block(index, block, pace))
    if not answer.content:
        spoken.append(PING)
    cumulative: dict[str, Any] = {k: v for k, v in usage.items() if isinstance(v, int)}
    cumulative.update(late)
    stop = {
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": None,
    }
    unsaid = answer.output_tokens - sum(said.tokens for said in spoken)
    ended = {"type": "message_delta", "delta": stop, "usage": cumulative}
    spoken.append(Spoken(ended, tokens=unsaid))
    spoken.append(Spoken({"type": "message_stop"}))
    return spoken


def delta(index: int, payload: JsonObject, wait_s: float = 0.0, tokens: int = 0) -> Spoken:
    """Return a `content_block_delta`."""
    event = {"type": "content_block_delta", "index": index, "delta": payload}
    return Spoken(event, wait_s, tokens)


def _block(index: int, block: JsonObject, pace: Pace) -> Iterator[Spoken]:
    empty = {**block, **_EMPTY[block["type"]]}
    yield Spoken({"type": "content_block_start", "index": index, "content_block": empty})
    if index == 0:
        yield PING
    match block["type"]:
        case "text":
            yield from _texts(index, "text_delta", "text", pace.split(block["text"]), pace)
        case "thinking":
            pieces = pace.split(block["thinking"])
            yield from _texts(index, "thinking_delta", "thinking", pieces, pace)
            yield delta(index, {"type": "signature_delta", "signature": block["signature"]})
        case _:
            pieces = _json_pieces(block["input"])
            yield from _texts(index, "input_json_delta", "partial_json", pieces, pace)
    yield Spoken({"type": "content_block_stop", "index": index})


def _texts(
    index: int, kind: str, field: str, pieces: Iterator[str], pace: Pace
) -> Iterator[Spoken]:
    """Yield deltas whose tokens add up to those of the text."""
    size = 0
    for piece in pieces:
        before = tokens_of(size)
        size += len(piece.encode())
        tokens = tokens_of(size) - before
        yield delta(index, {"type": kind, field: piece}, pace.delta_s, tokens)


def _json_pieces(value: JsonValue) -> Iterator[str]:
    """Yield JSON in pieces, an empty one first, as the API does."""
    text = jsonio.dumps(value)
    yield ""
    yield from (text[i : i + _JSON_PIECE] for i in range(0, len(text), _JSON_PIECE))
