"""What can be configured of routes and the targets behind them, and of timeouts, as in `schema`."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, Strict

from sidecard.config.caching import Keeping
from sidecard.config.intake import Input
from sidecard.config.kinds import (
    Expect,
    Flag,
    Seconds,
    Section,
    Tokens,
    Words,
    at_least_one,
    each_once,
)
from sidecard.config.resilience import Admission, Breaker, Hedge, Limits, Retry
from sidecard.config.structured import Structured

DEFAULT_ROUTE: Final = "default"
DEFAULT_MODELS: Final = ("claude-sonnet-5-5", "claude-haiku-5-5")
"""The default route's targets; the second is the cheaper one, for when the first is in trouble."""

RouteName: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$"),
    Expect("a route's name: up to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit"),
]
Model: TypeAlias = Annotated[
    str, Strict(), Field(pattern=r"^[!-~]{1,256}$"), Expect("a model's id")
]
Resort: TypeAlias = Literal["stale", "static"]


class Timeouts(Section):
    """How long a caller may have to wait, in seconds.

    Defaults make way for what is set: with `total_s: 30` alone no other timeout is over 30,
    and with `first_event_s: 900` alone `total_s` is 900 too.
    """

    connect_s: Seconds = Field(
        5.0,
        description="Seconds to connect to the upstream, TLS included. At most `first_event_s`.",
    )
    first_event_s: Seconds = Field(
        60.0,
        description="Seconds from the request to the first content of the answer. Too little fails "
        "long prompts and long thinking. At most `total_s`.",
    )
    idle_s: Seconds = Field(
        60.0,
        description="Seconds of silence in the middle of an answer after which it counts as "
        "broken. Pings count as signs of life. At most `total_s`.",
    )
    total_s: Seconds = Field(
        600.0,
        description="Seconds for a whole call, for callers that set no deadline or a later one.",
    )


class Target(Section):
    """A model that a call can go to.

    Its breaker, limits and timeouts hold wherever the model is called:
    what one route sets for it holds in all, and two routes can't set it differently.
    """

    model: Model = Field(description="The model's id, as the upstream knows it.")
    max_output_tokens: Tokens | None = Field(
        None,
        description="The most tokens that the model writes. A call that asks for more is refused "
        "before anything is sent. null: that isn't known, and the upstream decides.",
    )
    structured: Literal["auto", "native", "prompt"] = Field(
        "auto",
        description="How the model is sent a call's `output_schema`: `native` as the API's own "
        "parameter in any case, `prompt` at the end of the instructions. `auto`: as the parameter "
        "where the API's part of JSON Schema can say it and the model doesn't refuse it, else in "
        "the instructions. The answer is checked in any case.",
    )
    timeouts: Timeouts = Field(
        Timeouts(),
        description="`first_event_s` and `idle_s` for this model, in place of those of `timeouts`. "
        "At most `timeouts.total_s`.",
    )
    breaker: Breaker = Field(
        Breaker(), description="Any field of `breaker` for this model, in place of those there."
    )
    limits: Limits = Field(
        Limits(), description="Any field of `limits` for this model, in place of those there."
    )


class Route(Section):
    """A name that callers use, and what stands behind it."""

    targets: Annotated[tuple[Target, ...], AfterValidator(at_least_one)] = Field(
        description="The models behind the name, the preferred one first; at least one, and each "
        "once. A call moves on to the next when one fails or is left alone by its breaker."
    )
    max_tokens: Tokens = Field(
        4096,
        description="The most tokens of an answer, for a call that doesn't say. "
        "An answer that reaches it ends there, with the stop reason `max_tokens`. "
        "At most the first target's `max_output_tokens`.",
    )
    last_resorts: Annotated[tuple[Resort, ...], AfterValidator(each_once)] = Field(
        (),
        description="What may stand in when every target failed, for a call that doesn't say; "
        "what isn't there is skipped: `stale`, an expired answer of the cache; `static`, the text "
        "of `static_message`. They are tried in this order, however they are listed, and marked "
        "as degraded. `[]`: the call fails.",
    )
    static_message: Words = Field(
        "",
        description="The text of a static answer, needed where `static` is among `last_resorts`. "
        "While it is empty, a static last resort is skipped, for calls that ask for it too; "
        "and in any case for a call with an `output_schema`, which can't read it.",
    )
    continue_stream: Flag = Field(
        default=False,
        description="Whether a stream that breaks in the middle goes on at the next target, for a "
        "call that doesn't say. The caller is told where, and pays for both. "
        "Without it the stream ends with ABORTED.",
    )
    retry: Retry = Field(
        Retry(),
        description="Fields of `retry` for this route, in place of those there; not `budget_…`.",
    )
    hedge: Hedge = Field(
        Hedge(), description="Any field of `hedge` for this route, in place of those there."
    )
    admission: Admission = Field(
        Admission(),
        description="Any field of `admission` for this route, in place of those there. "
        "With any set, the route's calls have places of their own.",
    )
    cache: Keeping = Field(
        Keeping(),
        description="Any field of `cache` for this route, in place of those there; "
        "not `max_bytes` and `encryption_key_file`.",
    )
    input: Input = Field(
        Input(), description="Any field of `input` for this route, in place of those there."
    )
    structured: Structured = Field(
        Structured(),
        description="Any field of `structured` for this route, in place of those there.",
    )
