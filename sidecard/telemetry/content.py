"""Content in the log: what a call asked and what it was answered, for those who want it there.

Bounded in length, and redacted before it is cut, as half a key is found by no pattern.
Keys are hidden in any case: nobody debugs with them, and logs are read by more than may have them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from sidecard.core import jsonio
from sidecard.core.call import Call
from sidecard.core.event import Batch, BlockStarted, Delta, Restarted
from sidecard.core.jsonio import JsonValue
from sidecard.core.message import Message
from sidecard.policy.redaction import Redactor

Wanted = Literal["none", "redacted", "full"]

_PIECES: Final = ("text", "thinking", "partial_json")
_MOST_PARTS: Final = 1_000
"""How many parts of a text are looked at: as many as anybody reads."""


class Content:
    """Shows content, at most `most_chars` characters of each text. Safe to share.

    Both may be set at any time.
    """

    def __init__(self, wanted: Wanted, redactor: Redactor, *, most_chars: int) -> None:
        self.wanted = wanted
        self._redactor = redactor
        self.most_chars = most_chars

    def __call__(self, call: Call) -> dict[str, str]:
        """Return what a call's line has of its content, by the fact's name."""
        if self.wanted == "none":
            return {}
        facts = {"prompt": self._cut(_asked(call))}
        if (answer := call.trail.answer) is not None:
            facts["answer"] = self._cut(_answered(answer))
        return facts

    def _cut(self, parts: Iterable[str]) -> str:
        names = None if self.wanted == "redacted" else ("key",)
        shown: list[str] = []
        left = self.most_chars
        for number, part in enumerate(parts):
            if left <= 0 or number == _MOST_PARTS:
                return "\n".join(shown)[: self.most_chars] + "…"
            shown.append(self._redactor(part, names))
            left -= len(shown[-1]) + 1
        text = "\n".join(shown)
        return text if len(text) <= self.most_chars else text[: self.most_chars] + "…"

    def __repr__(self) -> str:
        return f"<Content {self.wanted}, {self.most_chars} characters>"


def _asked(call: Call) -> Iterator[str]:
    if "system" in call.parameters:
        yield from _said("system", call.parameters["system"])
    for message in call.messages:
        yield from _said(str(message.get("role", "")), message.get("content"))


def _said(who: str, content: JsonValue) -> Iterator[str]:
    for block in content if isinstance(content, list) else [content]:
        yield f"{who}: {_told(block)}"


def _told(block: JsonValue) -> str:
    """Return a block's text, or else its JSON."""
    if isinstance(block, str):
        return block
    if isinstance(block, dict) and block.get("type") == "text":
        return str(block.get("text"))
    return jsonio.dumps(_without_files(block))


def _without_files(value: JsonValue) -> JsonValue:
    """Return a value with how long a file is in the file's place."""
    if isinstance(value, list):
        return [_without_files(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "base64" and isinstance(data := value.get("data"), str):
        return {**value, "data": f"{len(data)} characters"}
    return {key: _without_files(item) for key, item in value.items()}


def _answered(answer: Message | Sequence[Batch]) -> Iterator[str]:
    if isinstance(answer, Message):
        return map(_told, answer.content)
    return _streamed(answer)


def _streamed(batches: Iterable[Batch]) -> Iterator[str]:
    """Return the blocks of a stream as far as they came: one that broke has an answer, too."""
    blocks: defaultdict[int, list[str]] = defaultdict(list)
    for batch in batches:
        for event in batch:
            if isinstance(event, Delta):
                found = (event.delta.get(name) for name in _PIECES)
                blocks[event.index].extend([piece for piece in found if isinstance(piece, str)])
            elif isinstance(event, BlockStarted) and event.block.get("type") == "tool_use":
                blocks[event.index].append(f"{event.block.get('name')}: ")
            elif isinstance(event, Restarted):
                blocks.clear()
    return ("".join(blocks[index]) for index in sorted(blocks))
