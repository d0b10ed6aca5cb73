"""The steps of a fault script: each kind of fault, with its options and their defaults.

Options named `after_events` count server-sent events from the start of the stream:
0 is right after the headers, 3 is after the preamble, 4 is after the first content.
In a unary answer they cut the body in half.
"""

from enum import Enum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from sidecard.simulator.pace import MAX_WAIT_S, Pace, Strict
from sidecard.simulator.sse import PREAMBLE_EVENTS

Events: TypeAlias = Annotated[int, Field(ge=0)]
Wait: TypeAlias = Annotated[float, Field(ge=0, le=MAX_WAIT_S)]
Headers: TypeAlias = Annotated[
    dict[str, Annotated[str, Field(coerce_numbers_to_str=True)]], Field(default_factory=dict)
]
HttpStatus: TypeAlias = Annotated[int, Field(ge=200, le=599)]
MegaBytes: TypeAlias = Annotated[int, Field(ge=1, le=4096)]


class Match(Strict):
    """Which requests a step is for: shell patterns for model and path, and the mode."""

    model: str = "*"
    path: str = "/v1/messages"
    stream: bool | None = None


class StepBase(Strict):
    """What every step has.

    `times`: how many requests it serves; 1, or, where `for_s` is given, `always`.
    `for_s`: seconds that it lasts, from the first request that it serves.
    `usage`: fields of the answer's usage object in place of the true ones; they are billed, too.
    """

    times: Annotated[int, Field(ge=1)] | Literal["always"] | None = None
    for_s: float | None = Field(default=None, gt=0)
    match: Match = Match()
    pace: Pace | None = None
    usage: Annotated[dict[str, object], Field(default_factory=dict)]


class Normal(StepBase):
    """A good answer: to let some requests or some time pass between faults."""

    fault: Literal["none"]


class Status(StepBase):
    """An HTTP error. `body` is text or JSON; without it, the API's own for that status."""

    fault: Literal["status"]
    status: HttpStatus
    headers: Headers
    body: str | dict[str, object] | None = None
    content_type: str = "application/json"
    retry_after_date_s: float | None = None
    """Adds a `retry-after` in HTTP-date form, so many seconds ahead."""


class Html(StepBase):
    """A proxy's error page."""

    fault: Literal["html"]
    status: HttpStatus = 502
    content_type: str = "text/html; charset=utf-8"


class Refuse(StepBase):
    """The listener is closed for `down_s`, as soon as this step is the next in the script.

    `drop` is what happens to the connections that are open: nothing, the idle ones are closed,
    or all are reset. A request that comes on a surviving connection doesn't meet this step.
    """

    fault: Literal["refuse"]
    down_s: Wait
    drop: Literal["none", "idle", "all"] = "idle"


class Reset(StepBase):
    """The connection is reset, before the answer or in it; with `rst: false`, closed."""

    fault: Literal["reset"]
    after_events: Events | None = None
    rst: bool = True


class Blackhole(StepBase):
    """The request is read and never answered."""

    fault: Literal["blackhole"]


class SlowHeaders(StepBase):
    """The status line comes late."""

    fault: Literal["slow_headers"]
    delay_s: Wait


class SlowFirstEvent(StepBase):
    """The headers come at once, the answer late: with `preamble`, its first content does.

    Every `ping_s` seconds of that wait bring a ping.
    """

    fault: Literal["slow_first_event"]
    delay_s: Wait
    preamble: bool = False
    ping_s: Annotated[float, Field(gt=0)] | None = None


class Drip(StepBase):
    """The body comes in pieces of `piece_bytes`, so many bytes a second."""

    fault: Literal["drip"]
    bytes_per_s: Annotated[float, Field(gt=0)] = 1.0
    piece_bytes: Annotated[int, Field(ge=1)] = 1


class Stall(StepBase):
    """The answer stops in the middle, the connection stays."""

    fault: Literal["stall"]
    after_events: Events = PREAMBLE_EVENTS + 1


class Truncate(StepBase):
    """The body ends cleanly, as HTTP sees it, before the answer does."""

    fault: Literal["truncate"]
    after_events: Events = PREAMBLE_EVENTS + 1


class Malformed(StepBase):
    """One event's data, or a unary body, is `data`: no JSON. The stream goes on after it."""

    fault: Literal["malformed"]
    after_events: Events = PREAMBLE_EVENTS
    data: str = '{"type": "content_block_delta", "index": 0, "delta": {'


class ErrorEvent(StepBase):
    """HTTP 200, then an `error` event ends the stream; a unary answer gets the error's status."""

    fault: Literal["error"]
    type: str = "overloaded_error"
    message: str = "Overloaded"
    after_events: Events = PREAMBLE_EVENTS


class Huge(StepBase):
    """An answer with `mb` MiB of text, in deltas of `delta_bytes`, or in one single event."""

    fault: Literal["huge"]
    mb: MegaBytes = 50
    delta_bytes: Annotated[int, Field(ge=1, le=1 << 20)] = 16_384
    one_event: bool = False


class Endless(StepBase):
    """An answer that doesn't end: deltas, pings, or one line. After ten minutes it is reset."""

    fault: Literal["endless"]
    of: Literal["deltas", "pings", "line"] = "deltas"
    delta_bytes: Annotated[int, Field(ge=1, le=1 << 20)] = 1024
    delta_s: Wait = 0.001


class Gzip(StepBase):
    """A body in gzip that nobody asked for; `expand_mb` makes it unpack to so many MiB."""

    fault: Literal["gzip"]
    expand_mb: MegaBytes | None = None


class Framing(StepBase):
    """A right answer in unusual bytes, all of which the event-stream format allows.

    `split_bytes` cuts lines and characters, into pieces with `gap_s` between them;
    `newline`, `space` (after the colon) and `comments` change the lines.
    `unknown_events` mixes in events of a type that no client knows;
    `split_data` spreads each event's JSON over several `data:` lines.
    """

    fault: Literal["framing"]
    split_bytes: Annotated[int, Field(ge=1)] | None = None
    newline: Literal["lf", "crlf", "cr"] = "lf"
    space: bool = True
    comments: bool = False
    unknown_events: bool = False
    split_data: bool = False
    gap_s: Wait = 0.0


class NoPrefill(StepBase):
    """A request that ends with an assistant turn is refused, as newer models do; others aren't."""

    fault: Literal["no_prefill"]


class NoOutputFormat(StepBase):
    """A request with `output_config.format` is refused, as some models do; others aren't."""

    fault: Literal["no_output_format"]


class Say(StepBase):
    """An answer of this text, whatever was asked."""

    fault: Literal["say"]
    text: str
    stop_reason: str = "end_turn"


class Oddity(Enum):
    """Ways in which an answer can leave the API's contract."""

    MISSING_USAGE = "missing_usage"
    NEGATIVE_TOKENS = "negative_tokens"
    UNKNOWN_STOP_REASON = "unknown_stop_reason"
    NULL_STOP_REASON = "null_stop_reason"
    UNKNOWN_BLOCK = "unknown_block"
    UNKNOWN_DELTA = "unknown_delta"
    UNKNOWN_FIELD = "unknown_field"
    ORPHAN_DELTA = "orphan_delta"
    NO_MESSAGE_START = "no_message_start"


class Odd(StepBase):
    """An answer out of contract.

    `unknown_delta`, `orphan_delta` and `no_message_start` exist in streams only.
    """

    fault: Literal["odd"]
    what: Annotated[tuple[Oddity, ...], Field(min_length=1)]


Step: TypeAlias = Annotated[
    Normal
    | Status
    | Html
    | Refuse
    | Reset
    | Blackhole
    | SlowHeaders
    | SlowFirstEvent
    | Drip
    | Stall
    | Truncate
    | Malformed
    | ErrorEvent
    | Huge
    | Endless
    | Gzip
    | Framing
    | NoPrefill
    | NoOutputFormat
    | Say
    | Odd,
    Field(discriminator="fault"),
]
