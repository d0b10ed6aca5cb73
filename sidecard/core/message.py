"""Messages: a whole answer in the terms of the Messages API. `fold` makes one of a stream."""

from dataclasses import dataclass, field

from sidecard.core.event import Usage
from sidecard.core.jsonio import JsonObject


@dataclass(frozen=True, slots=True)
class Message:
    """A complete answer. Safe to share between tasks.

    `content` holds the blocks as the upstream's JSON objects;
    `extra` the message's fields that this version doesn't model,
    `output_json` the canonical JSON of one that satisfies the schema it was asked for with.
    """

    id: str
    model: str
    content: tuple[JsonObject, ...]
    stop_reason: str
    stop_sequence: str | None = None
    usage: Usage = field(default_factory=Usage)
    extra: JsonObject = field(default_factory=dict)
    output_json: str = ""

    @property
    def text(self) -> str:
        """All text blocks, joined."""
        texts = [block.get("text") for block in self.content if block.get("type") == "text"]
        return "".join([text for text in texts if isinstance(text, str)])
