"""Between a whole message and a stream of events: `fold` and `unfold` are inverse.

`fold(unfold(m)) == m` for every message.
The rules are those by which the Anthropic SDK accumulates a stream
(`anthropic/lib/streaming/_messages.py`), which the tests use as the oracle.
Where the SDK drops a delta that it doesn't know, `fold` keeps it in the block's `deltas`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

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

PARTIAL_INPUT: Final = "partial_input_json"
"""Block key for tool input that was cut off (as `max_tokens` does) and is no JSON value."""

OTHER_DELTAS: Final = "deltas"
"""Block key for the deltas that no rule here covers, in order."""

# Delta type → (type of block it grows, its field in the delta, and in the block).
_TEXTS: Final = {
    "text_delta": ("text", "text", "text"),
    "thinking_delta": ("thinking", "thinking", "thinking"),
}


class Folder:
    """Accumulates one stream into a message. Not to be shared."""

    __slots__ = ("_blocks", "_finished", "_pieces", "_started", "_usage")

    def __init__(self) -> None:
        self._started: Started | None = None
        self._finished: Finished | None = None
        self._usage = Usage()
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Take the next events; raises KeyError for a delta of a block that never started."""
        for event in events:
            match event:
                case Delta():
                    self._grow(event.index, event.delta)
                case BlockStarted():
                    self._blocks[event.index] = dict(event.block)
                case BlockStopped():
                    self._close(event.index)
                case Usage():
                    self._usage = event
                case Started():
                    self._started = event
                case Finished():
                    self._finished = event

    def message(self) -> Message:
        """Return what the events add up to; raises ValueError when the stream isn't whole."""
        started, finished = self._started, self._finished
        if started is None or finished is None:
            msg = "the stream is not whole"
            raise ValueError(msg)
        for index in {index for index, _ in self._pieces}:
            self._close(index)
        return Message(
            id=started.message_id,
            model=started.model,
            content=tuple([self._blocks[i] for i in sorted(self._blocks)]),
            stop_reason=finished.stop_reason,
            stop_sequence=finished.stop_sequence,
            usage=self._usage,
            extra={**started.extra, **finished.extra},
        )

    def _grow(self, index: int, delta: JsonObject) -> None:
        block = self._blocks[index]
        kind, of = delta.get("type"), block.get("type")
        if (rule := _TEXTS.get(kind)) and rule[0] == of:  # type: ignore[arg-type]
            self._pieces.setdefault((index, rule[2]), []).append(delta[rule[1]])
        elif kind == "input_json_delta" and "input" in block:
            self._pieces.setdefault((index, "input"), []).append(delta["partial_json"])
        elif kind == "signature_delta" and of == "thinking":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta" and of == "text":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        else:
            block[OTHER_DELTAS] = [*block.get(OTHER_DELTAS, ()), delta]

    def _close(self, index: int) -> None:
        block = self._blocks[index]
        for key in ("text", "thinking"):
            if pieces := self._pieces.pop((index, key), None):
                block[key] = (block.get(key) or "") + "".join(pieces)
        if text := "".join(self._pieces.pop((index, "input"), ())):
            try:
                block["input"] = jsonio.loads(text)
            except ValueError:
                block[PARTIAL_INPUT] = text


def fold(batches: Iterable[Batch]) -> Message:
    """Return the message that a whole stream adds up to; raises ValueError if it isn't whole."""
    folder = Folder()
    for batch in batches:
        folder.add(batch)
    return folder.message()


def unfold(message: Message) -> Batch:
    """Return the events of a message, as if all of it had come in one read."""
    events: list[Event] = [Started(message.id, message.model, message.extra), message.usage]
    for index, block in enumerate(message.content):
        deltas = list(_deltas(block))
        spread = {key for key, _ in deltas}
        rest = {key: value for key, value in block.items() if key not in spread}
        rest.update({key: empty for key, empty in _EMPTY.items() if key in spread})
        events.append(BlockStarted(index, rest))
        events.extend([Delta(index, delta) for _, delta in deltas])
        events.append(BlockStopped(index))
    events.append(Finished(message.stop_reason, message.stop_sequence))
    return tuple(events)


# What a block opens with for the fields that then come as deltas.
_EMPTY: Final[JsonObject] = {"text": "", "thinking": "", "signature": "", "input": {}}


def _deltas(block: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Yield (the block's field it stands for, delta) for each delta that `block` unfolds into."""
    for kind, (of, field, key) in _TEXTS.items():
        if block.get("type") == of and (text := block.get(key)):
            yield key, {"type": kind, field: text}
    if block.get("type") == "text":
        for citation in block.get("citations") or ():
            yield "citations", {"type": "citations_delta", "citation": citation}
    if block.get("type") == "thinking" and (signature := block.get("signature")):
        yield "signature", {"type": "signature_delta", "signature": signature}
    if text := _input_text(block):
        key = PARTIAL_INPUT if PARTIAL_INPUT in block else "input"
        yield key, {"type": "input_json_delta", "partial_json": text}
    for delta in block.get(OTHER_DELTAS) or ():
        yield OTHER_DELTAS, delta


def _input_text(block: JsonObject) -> str:
    """Return a tool's input as JSON text; empty where a block has none, or an empty one."""
    if "input" not in block:
        return ""
    partial: str | None = block.get(PARTIAL_INPUT)
    return partial or (jsonio.dumps(block["input"]) if block["input"] else "")
