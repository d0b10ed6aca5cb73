"""Events: what a reply's stream is made of, a closed union of frozen types.

They mirror the Messages API's server-sent events without their envelopes:
`Started Usage (BlockStarted Delta* BlockStopped)* Usage* Finished`.
One that was asked for with a schema has `Checked` before `Finished`.
Only a continued stream has more: `Continued` or `Restarted`, anywhere between two of those.
A stream that ends without `Finished` is broken, whatever came before.
"""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sidecard.core.jsonio import JsonObject


@dataclass(frozen=True, slots=True)
class Started:
    """The answer exists: its id and model, and message fields this version doesn't model."""

    message_id: str
    model: str
    extra: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BlockStarted:
    """A content block opens; `block` is its JSON before any delta."""

    index: int
    block: JsonObject


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of block `index`, as the upstream sent it: `{"type": "text_delta", "text": …}`."""

    index: int
    delta: JsonObject


@dataclass(frozen=True, slots=True)
class BlockStopped:
    """Block `index` is complete."""

    index: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens used so far, cumulative: a later one replaces an earlier one.

    As the Messages API counts them,
    the input is `input_tokens + cache_read_tokens + cache_write_tokens`.
    `cache_write_1h_tokens` is the part of `cache_write_tokens` kept for an hour, which costs more.
    `apart` is what the request used beside all that, as for compaction or an advisor:
    the model, empty for the one that was asked, and its usage.
    `raw` is the upstream's own usage object.
    Counts are never negative. `odd`: one that was told can't be one, and isn't in them.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_search_requests: int = 0
    raw: JsonObject = field(default_factory=dict)
    apart: tuple[tuple[str, "Usage"], ...] = ()
    odd: bool = False

    @property
    def certain(self) -> bool:
        """Whether it can be taken for what was used: no request reads nothing at all."""
        read = self.input_tokens + self.cache_read_tokens + self.cache_write_tokens
        return read > 0 and not self.odd


NO_USAGE: Final = Usage()
"""Of what took no tokens, as an answer from the cache."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole: why it stopped, and message fields this version doesn't model."""

    stop_reason: str
    stop_sequence: str | None = None
    extra: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Continued:
    """The stream broke with `error` at one target, and goes on at another with no text lost.

    `text_length` is how many characters of text came before, in all text blocks.
    """

    from_target: str
    to_target: str
    error: str
    text_length: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """The stream broke and couldn't be continued: what came before it is void."""

    from_target: str
    to_target: str
    error: str


@dataclass(frozen=True, slots=True)
class OutputViolation:
    """One place where an answer breaks its schema: a JSON Pointer, and what is wrong there."""

    path: str
    description: str


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether the answer satisfies the schema that it was asked for with.

    If it does, `output_json` is its canonical JSON; else it is empty, `violations` tell what is
    wrong, and the stream ends with an error.
    """

    output_json: str = ""
    violations: tuple[OutputViolation, ...] = ()


Event: TypeAlias = (
    Started
    | BlockStarted
    | Delta
    | BlockStopped
    | Usage
    | Finished
    | Continued
    | Restarted
    | Checked
)

Batch: TypeAlias = tuple[Event, ...]
"""What one read of the upstream brought: delivered together, since a message a piece is dear."""
