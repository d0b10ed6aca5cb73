"""Between a whole message and a stream of events: `fold` and `unfold` are inverse.

`fold(unfold(m)) == m` for every message, whatever JSON its blocks are.
The rules are those by which the Anthropic SDK accumulates a stream
(`anthropic/lib/streaming/_messages.py`), which the tests use as the oracle.
Where the SDK drops a delta that it doesn't know, `fold` keeps it in the block's `deltas`.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sidecard.core import jsonio
from sidecard.core.event import (
    Batch,
    BlockStarted,
    BlockStopped,
    Checked,
    Delta,
    Event,
    Finished,
    Restarted,
    Started,
    Usage,
)
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.core.message import Message

PARTIAL_INPUT: Final = "partial_input_json"
"""Block key for tool input that was cut off (as `max_tokens` does) and is no JSON value."""

OTHER_DELTAS: Final = "deltas"
"""Block key for the deltas that no rule here covers, in order."""


class _Rule(NamedTuple):
    """How a type of delta grows a block: its `field`, a `piece`, is added to the block's `key`.

    `of` is the type of block that it grows, or empty for any that has the key;
    `base` is what the key has to be there, if it isn't missing or null.
    """

    field: str
    piece: type
    key: str
    of: str
    base: type


_RULES: Final = {
    "text_delta": _Rule("text", str, "text", "text", str),
    "thinking_delta": _Rule("thinking", str, "thinking", "thinking", str),
    "signature_delta": _Rule("signature", str, "signature", "thinking", object),
    "citations_delta": _Rule("citation", dict, "citations", "text", list),
    "input_json_delta": _Rule("partial_json", str, "input", "", object),
}


def _rules_for(block: JsonObject) -> dict[str, _Rule]:
    """Return the rules that hold for a block, by type of delta."""
    kind = block.get("type")
    return {
        delta_type: rule
        for delta_type, rule in _RULES.items()
        if (kind == rule.of or (not rule.of and rule.key in block))
        and ((base := block.get(rule.key)) is None or isinstance(base, rule.base))
    }


class _Growing:
    """A block and the deltas that came for it."""

    __slots__ = ("_block", "_others", "_pieces")

    def __init__(self, block: JsonObject) -> None:
        self._block = dict(block)
        self._others: list[JsonObject] = []
        # Type of delta → its rule's field and piece, the block's key, and what came.
        self._pieces: dict[str, tuple[str, type, str, list[Any]]] = {
            delta_type: (rule.field, rule.piece, rule.key, [])
            for delta_type, rule in _rules_for(block).items()
        }

    def add(self, delta: JsonObject) -> None:
        taker = self._pieces.get(delta["type"])
        if taker is not None and isinstance(piece := delta.get(taker[0]), taker[1]):
            taker[3].append(piece)
        else:
            self._others.append(delta)

    def block(self) -> JsonObject:
        """Return the block with everything in it."""
        block = self._block
        for _, _, key, pieces in self._pieces.values():
            if pieces:
                _grow(block, key, pieces)
        if self._others:
            before = block.get(OTHER_DELTAS)
            block[OTHER_DELTAS] = [*(before if isinstance(before, list) else ()), *self._others]
        return block


def _grow(block: dict[str, JsonValue], key: str, pieces: list[Any]) -> None:
    match key:
        case "citations":
            block[key] = [*(block.get(key) or ()), *pieces]
        case "signature":
            block[key] = pieces[-1]
        case "input":
            if text := "".join(pieces):
                try:
                    block[key] = jsonio.loads(text)
                except ValueError:
                    block[PARTIAL_INPUT] = text
        case _:
            block[key] = (block.get(key) or "") + "".join(pieces)


class Folder:
    """Accumulates one stream into a message. Not to be shared."""

    __slots__ = ("_blocks", "_finished", "_open", "_output_json", "_started", "_usage")

    def __init__(self) -> None:
        self._started: Started | None = None
        self._finished: Finished | None = None
        self._output_json = ""
        self._usage = Usage()
        self._open: dict[int, _Growing] = {}
        self._blocks: dict[int, JsonObject] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Take the next events; raises KeyError for a delta of a block that isn't open.

        `Continued` changes nothing: what follows it is numbered so that it fits.
        """
        for event in events:
            match event:
                case Delta():
                    self._open[event.index].add(event.delta)
                case BlockStarted():
                    self._open[event.index] = _Growing(event.block)
                case BlockStopped():
                    self._blocks[event.index] = self._open.pop(event.index).block()
                case Usage():
                    self._usage = event
                case Started():
                    self._started = event
                case Finished():
                    self._finished = event
                case Checked():
                    self._output_json = event.output_json
                case Restarted():
                    self._open.clear()
                    self._blocks.clear()

    def message(self) -> Message:
        """Return what the events add up to; raises ValueError when the stream isn't whole."""
        started, finished = self._started, self._finished
        if started is None or finished is None or self._open:
            msg = "the stream is not whole"
            raise ValueError(msg)
        return Message(
            id=started.message_id,
            model=started.model,
            content=tuple([self._blocks[i] for i in sorted(self._blocks)]),
            stop_reason=finished.stop_reason,
            stop_sequence=finished.stop_sequence,
            usage=self._usage,
            extra={**started.extra, **finished.extra},
            output_json=self._output_json,
        )


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
        opened, deltas = _spread(block)
        events.append(BlockStarted(index, opened))
        events.extend([Delta(index, delta) for delta in deltas])
        events.append(BlockStopped(index))
    if message.output_json:
        events.append(Checked(message.output_json))
    events.append(Finished(message.stop_reason, message.stop_sequence))
    return tuple(events)


# What a block opens with for the fields that then come as deltas.
_EMPTY: Final[JsonObject] = {"text": "", "thinking": "", "signature": "", "input": {}}


def _spread(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """Return a block as it opens, and the deltas that give back the rest.

    What would not come back as it is stays in the opening.
    """
    opened, deltas = dict(block), list[JsonObject]()
    rules = _rules_for(block)
    for delta_type, rule in rules.items():
        key = PARTIAL_INPUT if rule.key == "input" and _is_partial(block) else rule.key
        if pieces := _pieces(block, key):
            del opened[key]
            if key in _EMPTY:
                opened[key] = _EMPTY[key]
            deltas.extend([{"type": delta_type, rule.field: piece} for piece in pieces])
    others = block.get(OTHER_DELTAS)
    if isinstance(others, list) and all(_is_other(delta, rules) for delta in others) and others:
        del opened[OTHER_DELTAS]
        deltas.extend(others)
    return opened, deltas


def _pieces(block: JsonObject, key: str) -> list[JsonValue]:
    """Return what deltas bring for the block's `key`; nothing where they couldn't."""
    value = block.get(key)
    match key:
        case "citations":
            return value if value and all(isinstance(citation, dict) for citation in value) else []
        case "input":
            try:
                return [jsonio.dumps(value)] if value else []
            except ValueError:  # A number out of all bounds.
                return []
        case _:
            return [value] if value and isinstance(value, str) else []


def _is_partial(block: JsonObject) -> bool:
    """Whether the block's input came as text that is no JSON."""
    text = block.get(PARTIAL_INPUT)
    if not text or not isinstance(text, str):
        return False
    try:
        jsonio.loads(text)
    except ValueError:
        return True
    return False


def _is_other(delta: JsonValue, rules: dict[str, _Rule]) -> bool:
    """Whether `fold` would put that delta among the others."""
    if not isinstance(delta, dict) or not isinstance(delta.get("type"), str):
        return False
    rule = rules.get(delta["type"])
    return rule is None or not isinstance(delta.get(rule.field), rule.piece)
