"""What can be configured: every field with its unit, its default and what follows from it.

The descriptions are the operator's documentation: `docs/config.md` is made of them.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, Strict

from sidecard.config.kinds import (
    BaseUrl,
    Bytes,
    Expect,
    Flag,
    KeyFile,
    ListenAddress,
    Seconds,
    SecondsOrNone,
    Section,
    Tokens,
    TokensOrNone,
    at_least_one,
)

DEFAULT_ROUTE: Final = "default"
DEFAULT_MODEL: Final = "claude-sonnet-5-5"

RouteName: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$"),
    Expect("a route's name: up to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit"),
]
Model: TypeAlias = Annotated[
    str, Strict(), Field(pattern=r"^[!-~]{1,256}$"), Expect("a model's id")
]
Pattern: TypeAlias = Annotated[
    str, Strict(), Field(pattern=r"^[!-~]{1,256}$"), Expect("a pattern of model ids, as claude-*")
]
FileMode: TypeAlias = Annotated[
    str,
    Field(coerce_numbers_to_str=True, pattern=r"^(0o?)?[67][0-7]{2}$"),
    Expect('permissions in octal that let the owner read and write, as "0600"'),
]
SdkClient: TypeAlias = Literal[
    "anthropic", "aws", "bedrock", "bedrock_mantle", "foundry", "google_cloud", "vertex"
]


class Listen(Section):
    """Where the daemon answers, and how much it takes."""

    grpc: ListenAddress = Field(
        "127.0.0.1:7411",
        description="Where gRPC is served: `host:port` or `unix:///absolute/path`. "
        "Port 0 takes a free one, which the log names. There is no encryption and no login: "
        "whoever reaches the address can spend on the key.",
    )
    unix_mode: FileMode = Field(
        "0600",
        description="Permissions of the socket's file, in octal. "
        '"0600" lets the daemon\'s own user in alone, "0660" its group too. '
        "Of no effect on a TCP address.",
    )
    allow_remote: Flag = Field(
        default=False,
        description="Whether `listen.grpc` may be a TCP address that other machines reach. "
        "Without it such an address is refused.",
    )
    max_message_bytes: Bytes = Field(
        33_554_432,
        description="Size of the largest request taken, in bytes. A larger one is refused with a "
        "sentence. Each call may hold so much memory.",
    )
    reflection: Flag = Field(
        default=True,
        description="Whether generic clients such as grpcurl may ask for the contract.",
    )
    keepalive_s: Seconds = Field(
        60.0,
        description="Seconds without traffic after which a connection is probed, so that one whose "
        "peer has vanished is noticed. Less costs traffic and wakes idle machines.",
    )
    grace_s: SecondsOrNone = Field(
        25.0,
        description="Seconds that running calls get to finish after SIGTERM. 0 ends them at once. "
        "Keep it below the pod's terminationGracePeriodSeconds (30), or they are killed.",
    )


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
        description="Whether answers are made up, at no cost, by the built-in simulator. "
        "`auto`: only where nothing at all says that a real upstream is meant. "
        "`never`: a missing key is a mistake in any case.",
    )
    models: tuple[Pattern, ...] = Field(
        ("claude-*",),
        description="Patterns (`*`, `?`, `[…]`) of the model ids that a call may name in place of "
        "a route. Others are refused. `[]` leaves the routes alone.",
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


class Target(Section):
    """A model that a call can go to."""

    model: Model = Field(description="The model's id, as the upstream knows it.")
    max_output_tokens: Tokens | None = Field(
        None,
        description="The most tokens that the model writes. A call that asks for more is refused "
        "before anything is sent. null: that isn't known, and the upstream decides.",
    )


class Route(Section):
    """A name that callers use, and what stands behind it."""

    targets: Annotated[tuple[Target, ...], AfterValidator(at_least_one)] = Field(
        description="The models behind the name, the preferred one first; at least one."
    )
    max_tokens: Tokens = Field(
        4096,
        description="The most tokens of an answer, for a call that doesn't say. "
        "An answer that reaches it ends there, with the stop reason `max_tokens`. "
        "At most the first target's `max_output_tokens`.",
    )


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


class Log(Section):
    """What is logged on standard error; never what a call says, and never a key."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="The least severe lines that are written. `info` has one for each call.",
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto",
        description="`json` for machines, `console` for people, `auto`: console on a terminal.",
    )


class Config(Section):
    """All of it. With nothing given, it serves."""

    listen: Listen = Listen()
    upstream: Upstream = Upstream()
    routes: Mapping[RouteName, Route] = Field(
        {DEFAULT_ROUTE: Route(targets=(Target(model=DEFAULT_MODEL),))},
        description="Names that calls use as their model. A call that names none takes `default`. "
        "No other name may be a model's that `upstream.models` allows.",
    )
    timeouts: Timeouts = Timeouts()
    log: Log = Log()
