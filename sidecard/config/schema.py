"""What can be configured: every field with its unit, its default and what follows from it.

The descriptions are the operator's documentation: `docs/config.md` is made of them.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from sidecard.config.budgets import Budgets
from sidecard.config.caching import Cache
from sidecard.config.intake import Input, Redaction
from sidecard.config.kinds import (
    BaseUrl,
    Bytes,
    Count,
    Expect,
    Folder,
    KeyFile,
    Seconds,
    Section,
    Share,
    TokensOrNone,
)
from sidecard.config.listen import Listen
from sidecard.config.prices import PriceList
from sidecard.config.resilience import Admission, Breaker, Hedge, Limits, Retry
from sidecard.config.routes import (
    DEFAULT_MODELS,
    DEFAULT_ROUTE,
    Route,
    RouteName,
    Target,
    Timeouts,
)
from sidecard.config.structured import Structured
from sidecard.config.traces import Traces

Pattern: TypeAlias = Annotated[
    str, Strict(), Field(pattern=r"^[!-~]{1,256}$"), Expect("a pattern of model ids, as claude-*")
]
SdkClient: TypeAlias = Literal[
    "anthropic", "aws", "bedrock", "bedrock_mantle", "foundry", "google_cloud", "vertex"
]


class Upstream(Section):
    """The service that answers, and how it is reached."""

    base_url: BaseUrl = Field(
        "https://api.anthropic.com",
        description="The API's URL, without /v1. http is for loopback only, "
        "as the key would travel in clear. Where it isn't set, $ANTHROPIC_BASE_URL is taken.",
    )
    api_key_file: KeyFile | None = Field(
        None,
        description="Absolute path of the file that holds the API key, and nothing else. "
        "Read again when it changes, so that a key can be rotated without a restart. "
        "It wins over $ANTHROPIC_API_KEY, and doesn't go with `transport: sdk`.",
    )
    transport: Literal["auto", "direct", "sdk"] = Field(
        "auto",
        description="How requests are sent: `direct` with an API key over the daemon's own HTTP "
        "client, `sdk` with the `anthropic` package, which knows other clouds and credentials "
        "and takes more memory and time to start. `auto`: `sdk` where `sdk_client` or the "
        "environment's credentials need it, else `direct`.",
    )
    sdk_client: SdkClient = Field(
        "anthropic",
        description="Which client of the `anthropic` package sends, for `transport: sdk`. "
        "All but `anthropic` take their credentials from their cloud's environment.",
    )
    simulate: Literal["auto", "never", "always"] = Field(
        "auto",
        description="Whether answers are made up by the built-in simulator. Nobody bills them, but "
        "costs, budgets, usage and metrics count them as if the model had answered. "
        "`auto`: only where nothing at all says that a real upstream is meant. "
        "`never`: a missing key is a mistake in any case.",
    )
    models: tuple[Pattern, ...] = Field(
        ("claude-*",),
        description="Patterns (`*`, `?`, `[…]`) of the model ids that a call may name in place of "
        "a route. Others are refused. Such a call has that model as its only target, without a "
        "stand-in, a last resort or a budget of another route. `[]` leaves the routes alone: one "
        "may then be called like a model, for programs that name it.",
    )
    unstreamed_max_tokens: TokensOrNone = Field(
        4096,
        description="The most `max_tokens` of a unary call whose answer is asked for in one piece, "
        "which takes less CPU. Such an answer has `first_event_s` + `idle_s` to come whole, and a "
        "caller who leaves before never learns what it used. 0 streams every answer.",
    )
    max_answer_bytes: Bytes = Field(
        67_108_864,
        description="Size of the largest answer taken from the upstream, in bytes. "
        "A larger one fails, as the upstream's mistake.",
    )


class Log(Section):
    """What is logged on standard error: what a call says only if asked for, and never a key."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="The least severe lines that are written. `info` has one for each call.",
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto",
        description="`json` for machines, `console` for people, `auto`: console on a terminal.",
    )
    sample: Share = Field(
        1.0,
        description="Share of the calls that went well which get a line, from 0 to 1. Failed, "
        "abandoned, degraded and slow calls always get theirs; metrics count all of them.",
    )
    slow_s: Seconds = Field(
        10.0,
        description="Seconds from which on a call is slow, and has a line whatever `sample` says.",
    )
    content: Literal["none", "redacted", "full"] = Field(
        "none",
        description="Whether a call's line has its `prompt` and its `answer`: `redacted` without "
        "what `redaction` knows, `full` without keys alone. Whoever reads the log then reads what "
        "callers say, and an answer is held in memory until its end.",
    )
    content_chars: Count = Field(
        2_000,
        description="Length from which on prompt and answer are cut, each, in characters. "
        "Of files only the size is shown.",
    )


class Config(Section):
    """All of it. With nothing given, it serves."""

    listen: Listen = Listen()
    data_dir: Folder | None = Field(
        None,
        description="Absolute path of the folder that the daemon keeps its files in; it makes it "
        "where it is missing. One daemon takes one folder. null: it keeps everything in memory, "
        "and forgets it at its end.",
    )
    upstream: Upstream = Upstream()
    routes: Mapping[RouteName, Route] = Field(
        {DEFAULT_ROUTE: Route(targets=tuple([Target(model=model) for model in DEFAULT_MODELS]))},
        description="Names that calls use as their model. A call that names none takes `default`. "
        "No other name may be a model's that `upstream.models` allows.",
    )
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    limits: Limits = Limits()
    admission: Admission = Admission()
    hedge: Hedge = Hedge()
    cache: Cache = Cache()
    input: Input = Input()
    redaction: Redaction = Redaction()
    budgets: Budgets = Budgets()
    prices: PriceList = PriceList()
    structured: Structured = Structured()
    log: Log = Log()
    traces: Traces = Traces()
