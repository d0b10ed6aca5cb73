"""The operator's service: orders, each with the operator's token."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from sidecard.config.problems import ConfigError
from sidecard.config.reloads import Reloads
from sidecard.core.clock import Clock
from sidecard.core.errors import (
    DeadlineExceeded,
    InvalidCall,
    SidecardError,
    Unauthenticated,
    Violation,
)
from sidecard.core.ledger import LedgerFailed, LeftOpen
from sidecard.core.store import Purge, Store, StoreFailed
from sidecard.policy.breaker import Breaker, State
from sidecard.server.admin_token import AdminToken
from sidecard.server.arrival import Arrival, Context, arrive
from sidecard.server.reading import reading
from sidecard.server.status import code_of, details_of, message_of
from sidecard.v1 import admin_pb2 as pb

SERVICE = "sidecard.v1.AdminService"
_LONGEST_S = 600.0
_TARGETS_TOLD = 20
_EMPTY = "names nothing to remove; set tenant, route or older_than, or everything"

_log = logging.getLogger(__name__)

_Request = TypeVar(
    "_Request",
    pb.PurgeCacheRequest,
    pb.ReloadRequest,
    pb.ReleaseLeftOpenRequest,
    pb.ResetBreakerRequest,
)

Breakers = Callable[[], Iterable[tuple[str, Breaker]]]
"""Gives the breakers that there are now, by their targets' names."""

Reload = Callable[[], Coroutine[None, None, Reloads]]
"""Puts the configuration as it is now into force; raises `ConfigError` where it has mistakes."""

Release = Callable[[], Coroutine[None, None, LeftOpen]]
"""Takes for unspent what processes that died left open; raises `LedgerFailed`."""


class AdminServicer:
    """`sidecard.v1.AdminService`. Safe to share.

    `reload` reads the configuration again, and goes on when who ordered it has left, as does
    `release`.
    `forget` drops what is remembered of answers beside the store.
    `breakers` may be others after a reload.
    """

    def __init__(
        self,
        store: Store,
        *,
        token: AdminToken,
        clock: Clock,
        breakers: Breakers,
        forget: Callable[[], object] = lambda: None,
        reload: Reload,
        release: Release,
    ) -> None:
        self._store = store
        self._breakers = breakers
        self._forget = forget
        self._reload = reload
        self._release = release
        self._token = token
        self._clock = clock

    async def purge_cache(self, payload: bytes, context: Context) -> pb.PurgeCacheResponse:
        """Remove answers from the cache, and return how many."""
        arrival = arrive(context, self._clock, _LONGEST_S)
        try:
            self._authenticate(context)
            request = _parse(pb.PurgeCacheRequest, payload)
            which = self._which(request)
            async with asyncio.timeout_at(arrival.deadline):
                self._forget()
                removed = await self._store.purge(which)
                self._forget()  # What was looked up or asked for meanwhile.
        except TimeoutError:
            passed = DeadlineExceeded("the deadline passed; the purge goes on")
            await _fail(context, passed, arrival)
        except Exception as error:  # noqa: BLE001  # told apart in _fail, which always raises
            await _fail(context, error, arrival)
        facts = {"tenant": which.tenant, "route": which.route, "removed": removed}
        _log.info("cache purged", extra={"request_id": arrival.request_id, **facts})
        return pb.PurgeCacheResponse(removed=removed)

    async def reload(self, payload: bytes, context: Context) -> pb.ReloadResponse:
        """Put the configuration as it is now into force, and return what is."""
        arrival = arrive(context, self._clock, _LONGEST_S)
        try:
            self._authenticate(context)
            _parse(pb.ReloadRequest, payload)
            found = await asyncio.shield(self._reload())
        except ConfigError as error:
            problems = [
                Violation(problem.path or "config", str(replace(problem, path="")))
                for problem in error.problems
            ]
            await _fail(context, InvalidCall(*problems), arrival)
        except Exception as error:  # noqa: BLE001  # as above
            await _fail(context, error, arrival)
        return pb.ReloadResponse(sha256=found.sha256, waiting_for_restart=found.waiting)

    async def release_left_open(
        self, payload: bytes, context: Context
    ) -> pb.ReleaseLeftOpenResponse:
        """Take for unspent what processes that died left open, and return how much that was."""
        arrival = arrive(context, self._clock, _LONGEST_S)
        try:
            self._authenticate(context)
            _parse(pb.ReleaseLeftOpenRequest, payload)
            found = await asyncio.shield(self._release())
        except Exception as error:  # noqa: BLE001  # as above
            await _fail(context, error, arrival)
        facts = {"attempts": found.attempts, "nano_usd": found.nano_usd}
        _log.warning("left open released", extra={"request_id": arrival.request_id, **facts})
        return pb.ReleaseLeftOpenResponse(**facts)

    async def reset_breaker(self, payload: bytes, context: Context) -> pb.ResetBreakerResponse:
        """Close breakers, and return the targets of those that weren't closed."""
        arrival = arrive(context, self._clock, _LONGEST_S)
        try:
            self._authenticate(context)
            request = _parse(pb.ResetBreakerRequest, payload)
            closed = self._reset(request)
        except Exception as error:  # noqa: BLE001  # as above
            await _fail(context, error, arrival)
        facts = {"target": request.target, "everything": request.everything, "closed": closed}
        _log.info("breakers reset", extra={"request_id": arrival.request_id, **facts})
        return pb.ResetBreakerResponse(closed=closed)

    def _reset(self, request: pb.ResetBreakerRequest) -> list[str]:
        target = request.target
        if bool(target) is request.everything:
            raise InvalidCall(Violation("request", "set target, or else everything"))
        known = dict(self._breakers())
        if target and target not in known:
            names = ", ".join(sorted(known)[:_TARGETS_TOLD])
            raise InvalidCall(Violation("target", f"has no breaker; there are {names}"))
        if target and (mode := known[target].policy.mode) != "auto":
            told = f"is {mode} by the configuration: change breaker.mode and reload"
            raise InvalidCall(Violation("target", told))
        chosen = {name: b for name, b in known.items() if target in {"", name}}
        closed: list[str] = []
        for name, breaker in chosen.items():
            if breaker.policy.mode == "auto":
                if breaker.state is not State.CLOSED:
                    closed.append(name)
                breaker.reset(self._clock.now())
        return closed

    def _authenticate(self, context: Context) -> None:
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        try:
            accepted = isinstance(given, str) and self._token.accepts(given)
        except OSError as error:
            raise Unauthenticated(f"the daemon can't read its token: {error.strerror}") from None
        if not accepted:
            raise Unauthenticated("an order needs the operator's token as authorization: Bearer")

    def _which(self, request: pb.PurgeCacheRequest) -> Purge:
        found: list[Violation] = []
        some = request.tenant or request.route or request.HasField("older_than")
        if request.everything and some:
            found.append(Violation("everything", "is set beside others; set it alone"))
        if not request.everything and not some:
            found.append(Violation("request", _EMPTY))
        created_before = None
        if request.HasField("older_than"):
            seconds = request.older_than.seconds + request.older_than.nanos / 1e9
            created_before = self._clock.wall() - seconds
            if seconds < 0:
                found.append(Violation("older_than", "is negative; set 0 or more"))
        if found:
            raise InvalidCall(*found)
        return Purge(request.tenant or None, request.route or None, created_before)


def _parse(kind: type[_Request], payload: bytes) -> _Request:
    try:
        return kind.FromString(payload)
    except DecodeError:
        raise InvalidCall(Violation("request", "not a message of this type")) from None


async def _fail(context: Context, error: Exception, arrival: Arrival) -> NoReturn:
    if isinstance(error, LedgerFailed):
        error = StoreFailed(f"the ledger can't be written: {error}")
    if not isinstance(error, SidecardError | StoreFailed):
        _log.error("a bug", exc_info=error, extra={"request_id": arrival.request_id})
    details = (("grpc-status-details-bin", details_of(error, arrival)),)
    await context.abort(code_of(error), message_of(error), details)
    raise AssertionError  # abort has raised; its annotation doesn't say so


def handlers(
    servicer: AdminServicer, body_s: float
) -> "dict[str, grpc.RpcMethodHandler[bytes, Message]]":
    """Return the methods by name, for gRPC's generic handler."""
    return {
        "PurgeCache": grpc.stream_unary_rpc_method_handler(
            reading(servicer.purge_cache, body_s),
            response_serializer=pb.PurgeCacheResponse.SerializeToString,
        ),
        "ReleaseLeftOpen": grpc.stream_unary_rpc_method_handler(
            reading(servicer.release_left_open, body_s),
            response_serializer=pb.ReleaseLeftOpenResponse.SerializeToString,
        ),
        "Reload": grpc.stream_unary_rpc_method_handler(
            reading(servicer.reload, body_s),
            response_serializer=pb.ReloadResponse.SerializeToString,
        ),
        "ResetBreaker": grpc.stream_unary_rpc_method_handler(
            reading(servicer.reset_breaker, body_s),
            response_serializer=pb.ResetBreakerResponse.SerializeToString,
        ),
    }
