"""Calls: what a caller asks, decoded and checked, and where it may go."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Self

from sidecard.core.jsonio import JsonObject
from sidecard.core.trail import Trail

_LEAST_THINKING: Final = 1_024
"""The fewest tokens that the upstream takes as a budget for thinking."""


class Mode(Enum):
    """How the caller wants the answer: a unary call commits at the whole message."""

    UNARY = "unary"
    STREAM = "stream"


class Priority(Enum):
    """Who goes first when calls have to wait."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class CacheMode(Enum):
    """What a call lets the cache do; ONLY never reaches the upstream."""

    DEFAULT = "default"
    BYPASS = "bypass"
    REFRESH = "refresh"
    ONLY = "only"


class LastResort(Enum):
    """What may stand in for an answer when every target failed."""

    STALE = "stale"
    DEFERRED = "deferred"
    STATIC = "static"


_READING: Final = frozenset({CacheMode.DEFAULT, CacheMode.ONLY})


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What a call lets the cache do; `ttl_s` is None where that is left to the configuration."""

    mode: CacheMode = CacheMode.DEFAULT
    ttl_s: float | None = None
    namespace: str = ""

    @property
    def reads(self) -> bool:
        """Whether an answer may come from the cache."""
        return self.mode in _READING


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """What a call allows when targets fail; replaces the route's policy."""

    last_resorts: frozenset[LastResort] = frozenset()
    continue_stream: bool | None = None


DEFAULT_CACHE: Final = CachePolicy()


class Structured(Enum):
    """How a target is sent a schema: as the API's own parameter, in the prompt, or the best way."""

    AUTO = "auto"
    NATIVE = "native"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class Target:
    """A (provider, model, credentials) that a call can go to.

    `max_output_tokens` is the most that the model writes, None when that isn't known.
    """

    model: str
    max_output_tokens: int | None = None
    structured: Structured = Structured.AUTO

    @property
    def name(self) -> str:
        """How the target is named in answers, metrics and logs."""
        return self.model


@dataclass(frozen=True, slots=True)
class Route:
    """A name that callers use, and the targets behind it in order of preference.

    `max_attempts` is the most attempts for one call, over all targets and for all reasons.
    When every target failed, `last_resorts` may stand in: of them static is `static_message`.
    With `continue_stream` a stream that breaks goes on at the next target.
    """

    name: str
    targets: tuple[Target, ...]
    max_tokens: int
    max_attempts: int = 6
    last_resorts: frozenset[LastResort] = frozenset()
    static_message: str = ""
    continue_stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question, immutable, so that it can be retried, hedged and shared as it is.

    `messages` and `parameters` together are the body of the upstream's request,
    without `model` and `stream`, which belong to the target and to the transport.
    `deadline` is a moment of `Clock.now`, in seconds.
    `fallback` is None where the route's policy holds, the limits where there is none.
    `trail` is what was tried for the call: its copies share it.
    """

    request_id: str
    tenant: str
    route: Route
    target: Target
    messages: tuple[JsonObject, ...]
    parameters: JsonObject
    deadline: float
    mode: Mode = Mode.UNARY
    priority: Priority = Priority.INTERACTIVE
    output_schema: JsonObject | None = None
    cache: CachePolicy = DEFAULT_CACHE
    fallback: FallbackPolicy | None = None
    max_cost_nano_usd: int | None = None
    max_input_tokens: int | None = None
    labels: JsonObject = field(default_factory=dict)
    trail: Trail = field(default_factory=Trail, compare=False, repr=False)

    @property
    def attempts_left(self) -> int:
        """How many more attempts the call may make, wherever."""
        return self.route.max_attempts - self.trail.sent

    @property
    def last_resorts(self) -> frozenset[LastResort]:
        """What may stand in for an answer: the call's own word, or else its route's."""
        return self.route.last_resorts if self.fallback is None else self.fallback.last_resorts

    @property
    def continues(self) -> bool:
        """Whether a stream that breaks is to go on: the call's own word, or else its route's."""
        own = None if self.fallback is None else self.fallback.continue_stream
        return self.route.continue_stream if own is None else own

    def again(self, *, request_id: str, deadline: float, trail: Trail) -> Self:
        """Return the same question, asked anew: measured, in half the time of a `replace`."""
        return type(self)(
            request_id=request_id,
            tenant=self.tenant,
            route=self.route,
            target=self.target,
            messages=self.messages,
            parameters=self.parameters,
            deadline=deadline,
            mode=self.mode,
            priority=self.priority,
            output_schema=self.output_schema,
            cache=self.cache,
            fallback=self.fallback,
            max_cost_nano_usd=self.max_cost_nano_usd,
            max_input_tokens=self.max_input_tokens,
            labels=self.labels,
            trail=trail,
        )

    def to(self, target: Target) -> Self:
        """Return the same call, bound for another target, and asking no more than that writes."""
        if target is self.target:
            return self
        limit = target.max_output_tokens
        if limit is None or self.parameters["max_tokens"] <= limit:
            return replace(self, target=target)
        return replace(self, target=target, parameters=_within(self.parameters, limit))


def _within(parameters: JsonObject, limit: int) -> JsonObject:
    """Return parameters that ask for `limit` tokens, with the same share of them for thinking."""
    fewer = {**parameters, "max_tokens": limit}
    thinking = parameters.get("thinking")
    if isinstance(thinking, dict) and type(budget := thinking.get("budget_tokens")) is int:
        share = budget * limit // parameters["max_tokens"]
        if limit > _LEAST_THINKING:
            fewer["thinking"] = {**thinking, "budget_tokens": max(share, _LEAST_THINKING)}
        else:
            del fewer["thinking"]
    return fewer
