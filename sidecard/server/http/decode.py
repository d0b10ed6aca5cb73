"""Anthropic's requests to calls: what sidecard itself has to know is checked, the rest passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sidecard.core import jsonio
from sidecard.core.call import CacheMode, CachePolicy, Call, FallbackPolicy, Mode, Priority, Route
from sidecard.core.errors import InvalidCall, Violation
from sidecard.core.jsonio import JsonObject
from sidecard.core.names import TENANT, TENANT_RULE
from sidecard.policy.intake import Intake
from sidecard.server.arrival import Arrival
from sidecard.server.http.structured import schema_of
from sidecard.server.wire.routing import Routing, limit_of
from sidecard.server.wire.terms_in import BETA, permitted
from sidecard.server.wire.violations import Violations, shown

_MESSAGES: Final = 10_000
_OURS: Final = frozenset({"model", "messages", "stream"})
_NAMESPACE_CHARS: Final = 64
_MOST_TOKENS: Final = 2**31 - 1
"""As over gRPC."""

Headers = Mapping[str, str]
_Chosen = TypeVar("_Chosen")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's body, and whether its answer is to come as a stream."""

    body: JsonObject
    stream: bool


def read(payload: bytes) -> Asked:
    """Parse a request's body; raises `InvalidCall`."""
    try:
        body = jsonio.loads(payload)
    except ValueError as error:
        raise InvalidCall(Violation("body", f"is no JSON: {error}")) from None
    if not isinstance(body, dict):
        raise InvalidCall(Violation("body", "is no JSON object"))
    if not jsonio.writable(body):
        raise InvalidCall(Violation("body", "has a number beyond what a double can hold"))
    stream = body.get("stream", False)
    if not isinstance(stream, bool):
        raise InvalidCall(Violation("stream", "is neither true nor false"))
    return Asked(body, stream)


class Decoder:
    """Decodes requests. One for the process, safe to share between tasks.

    `model` is a route's name or a model's id, as over gRPC; what else sidecard takes is in headers.
    """

    def __init__(
        self,
        *,
        routes: Mapping[str, Route],
        allowed_models: Sequence[str],
        intake: Intake | None = None,
    ) -> None:
        self._routing = Routing(routes, allowed_models)
        self._intake = intake

    def decode(
        self, asked: Asked, headers: Headers, arrival: Arrival, *, own: str = "", counts: bool
    ) -> Call:
        """Return the call; raises `InvalidCall` with every violation.

        `own` is as over gRPC. With `counts` it is for counting tokens, which needs no `max_tokens`.
        """
        found = Violations()
        body = asked.body
        model = body.get("model")
        if not isinstance(model, str):
            found.add("model", "is missing, or no text; name a route or a model")
        route = self._routing.find(model, found) if isinstance(model, str) else None
        parameters = {key: value for key, value in body.items() if key not in _OURS}
        if not counts:
            parameters["max_tokens"] = _max_tokens(body, route, found)
        if betas := _betas(headers, found):
            parameters["betas"] = betas
        messages = _messages(body, found)
        cache = _cache(headers, found)
        tenant = _tenant(headers, own, found)
        priority = _choice(headers, "x-sidecard-priority", _PRIORITIES, found)
        found.check()
        if route is None:
            raise AssertionError  # `found` has a violation, so `check` has raised
        call = Call(
            request_id=arrival.request_id,
            tenant=tenant,
            route=route,
            target=route.targets[0],
            messages=messages,
            parameters=parameters,
            # A stream has as long as it takes, once it has begun in time.
            deadline=arrival.deadline if asked.stream else arrival.begin_by,
            mode=Mode.STREAM if asked.stream else Mode.UNARY,
            priority=priority or Priority.INTERACTIVE,
            output_schema=schema_of(parameters),
            cache=cache,
            # A stream of the API can't say that it starts anew.
            fallback=FallbackPolicy(route.last_resorts, continue_stream=False),
            trail=arrival.trail,
        )
        return self._intake(call) if self._intake else call


_PRIORITIES: Final = {"interactive": Priority.INTERACTIVE, "batch": Priority.BATCH}
_MODES: Final = {mode.value: mode for mode in CacheMode}


def _max_tokens(body: JsonObject, route: Route | None, found: Violations) -> int:
    default = route.max_tokens if route else 1
    chosen = body.get("max_tokens", default)
    if type(chosen) is not int or not 1 <= chosen <= _MOST_TOKENS:
        found.add("max_tokens", f"has to be a whole number from 1 to {_MOST_TOKENS:,}")
        return default
    limit = limit_of(route.targets[0]) if route else None
    if limit is not None and chosen > limit and "max_tokens" in body:
        found.add("max_tokens", f"is {chosen:,}; the model writes at most {limit:,}")
    return chosen if limit is None else min(chosen, limit)


def _messages(body: JsonObject, found: Violations) -> tuple[JsonObject, ...]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        found.add("messages", "is missing or empty; add the user's turn")
        return ()
    if len(messages) > _MESSAGES:
        found.add("messages", f"are {len(messages):,}; at most {_MESSAGES:,} are taken")
        return ()
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            found.add(f"messages[{index}]", "is no object with a role")
        elif not isinstance(message.get("content"), str | list):
            found.add(f"messages[{index}].content", "is neither a text nor a list of blocks")
    return tuple(messages)


def _tenant(headers: Headers, own: str, found: Violations) -> str:
    tenant = headers.get("x-sidecard-tenant", own or "default")
    if not TENANT.fullmatch(tenant):
        found.add("x-sidecard-tenant", f"is {shown(tenant)}; it has to be {TENANT_RULE}")
    return permitted(tenant, own)


def _cache(headers: Headers, found: Violations) -> CachePolicy:
    mode = _choice(headers, "x-sidecard-cache", _MODES, found)
    namespace = headers.get("x-sidecard-cache-namespace", "")
    if len(namespace) > _NAMESPACE_CHARS or not namespace.isprintable():
        told = f"has to be at most {_NAMESPACE_CHARS} printable characters"
        found.add("x-sidecard-cache-namespace", told)
    return CachePolicy(mode or CacheMode.DEFAULT, namespace=namespace)


def _choice(
    headers: Headers, name: str, known: Mapping[str, _Chosen], found: Violations
) -> _Chosen | None:
    given = headers.get(name)
    if given is None:
        return None
    if given.lower() not in known:
        found.add(name, f"is {shown(given)}; use one of {', '.join(known)}")
    return known.get(given.lower())


def _betas(headers: Headers, found: Violations) -> list[str]:
    betas = [beta.strip() for beta in headers.get("anthropic-beta", "").split(",")]
    betas = [beta for beta in betas if beta]
    for beta in betas:
        if not BETA.fullmatch(beta):
            found.add("anthropic-beta", f"has {shown(beta)}, which is no name of a beta")
    return sorted(set(betas))
