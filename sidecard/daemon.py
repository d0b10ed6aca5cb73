"""The daemon: configuration in, a process out that serves until a signal.

What answers calls is replaced as a whole when the configuration changes; what they reach stays.
"""

import gc
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import TypedDict

from sidecard.app import Stack, build_stack
from sidecard.config.listen import open_to_all
from sidecard.config.plan import Plan
from sidecard.config.reloads import Reloads
from sidecard.config.schema import Config
from sidecard.config.simulate import Upstream as Means
from sidecard.core.clock import SystemClock
from sidecard.core.jsonio import JsonObject
from sidecard.core.ledger import LeftOpen
from sidecard.fronts import Behind, Fronts
from sidecard.layers.admit import Admit
from sidecard.layers.coalesce import Coalesce
from sidecard.layers.shortcut import Shortcut
from sidecard.opening import (
    keeps_expired_s,
    open_book,
    open_spans,
    open_store,
    open_transport,
    opened_for,
    tell_of_memory,
)
from sidecard.reloading import Reloader
from sidecard.server import lifecycle
from sidecard.server.address import refuse_taken
from sidecard.server.admin_service import Reload
from sidecard.server.told import Told
from sidecard.state import State
from sidecard.telemetry import log
from sidecard.telemetry.access import AccessLog
from sidecard.telemetry.content import Content
from sidecard.telemetry.hit_counts import counting
from sidecard.telemetry.lag import LoopLag
from sidecard.telemetry.later import Later
from sidecard.telemetry.metrics import Metrics
from sidecard.telemetry.notes import NoteLog
from sidecard.telemetry.recent import Recent
from sidecard.telemetry.sinks import Calls, Notes
from sidecard.telling import gauges, status
from sidecard.upstream.client import Client
from sidecard.upstream.count import TokenCounter
from sidecard.upstream.transport import Transport

_log = logging.getLogger(__name__)


class Running:
    """What answers calls under the configuration in force; another takes its place as a whole.

    A call that runs goes on in the stack that it began in, and counts in the next one, too.
    The state's store and book, and the transport, are closed by others.
    """

    def __init__(
        self,
        config: Config,
        transport: Transport,
        state: State,
        *,
        notes: Notes,
        as_json: bool,
        reloads: Reloads,
    ) -> None:
        self.state = state
        self._transport = transport
        self._notes = notes
        self._reloads = reloads
        self._began = state.clock.now()
        self._client = Client(transport, clock=state.clock)
        self._content = Content("none", state.redactor, most_chars=0)
        self._access = AccessLog(
            clock=state.clock, as_json=as_json, redact=state.redactor, content=self._content
        )
        self.later = Later(state.clock)
        self._calls = Calls(self.later)
        self._calls.add(self._access, alike=self._access.alike)
        self._recent = Recent(state.clock)
        self.metrics = Metrics(
            lambda: gauges(*self._parts(), busy=transport.busy, connections=transport.connections),
            **_names(config, state),
        )
        self._calls.add(self.metrics.call, alike=partial(counting, self.metrics))
        self._calls.add(self._recent, alike=self._recent.alike)
        self.otlp = open_spans(
            config, self._content, self._calls, clock=state.clock, count=self.metrics.spans.add
        )
        notes.add(self.metrics.note)
        self.behind, self.stack = self._built(config, state, None)
        self._tell(config)

    def _built(self, config: Config, state: State, before: Stack | None) -> tuple[Behind, Stack]:
        stack = build_stack(
            self._client,
            state,
            sink=self._calls,
            notes=self._notes,
            before=before,
            content=config.log.content != "none",
        )
        count = TokenCounter(self._client, timeout_s=config.timeouts.first_event_s)
        return Behind(config, state, stack.handler, count), stack

    def fronts(self, reload: Reload) -> Fronts:
        """Return the servers, to which `configure` puts what is next."""
        calls, clock = self._calls, self.state.clock
        hits = Shortcut(self.state.answers, sink=calls, alike=calls.alike, clock=clock)
        return Fronts(
            self.behind,
            hits=hits,
            sink=self.later.to(self.metrics.rpc),
            notes=self._notes,
            reload=reload,
            release=self._release_left,
        )

    async def _release_left(self) -> LeftOpen:
        return await self.state.release_left()

    def configure(self, config: Config, fronts: Fronts) -> None:
        """Put another configuration into force for the calls that come."""
        self.state = self.state.renewed(config)
        self.state.store.keep_expired_s = keeps_expired_s(config)
        self.behind, self.stack = self._built(config, self.state, self.stack)
        fronts.configure(self.behind)
        self.metrics.configure(**_names(config, self.state))
        self._tell(config)
        log.set_level(config.log.level)

    def _tell(self, config: Config) -> None:
        settings = config.log
        self._access.sample, self._access.slow_s = settings.sample, settings.slow_s
        self._content.wanted = settings.content
        self._content.most_chars = settings.content_chars

    def told(self, fronts: Fronts) -> Told:
        """Return what the admin server tells."""
        server = fronts.grpc

        def found() -> JsonObject:
            uptime_s = self.state.clock.now() - self._began
            self.later.flush()
            state = status(*self._parts(), unready=server.unready, uptime_s=uptime_s)
            return {**state, **self.metrics.summary(), "recent": self._recent.told()}

        def page(accept: str) -> tuple[bytes, str]:
            self.later.flush()
            return self.metrics.page(accept)

        return Told(found, page, lambda: server.unready, self.state.book.usage)

    def _parts(self) -> tuple[State, Admit, Coalesce, Reloads]:
        return self.state, self.stack.admit, self.stack.coalesce, self._reloads


class Names(TypedDict):
    """The configured names, for the metrics."""

    targets: list[str]
    routes: list[str]
    uncached: list[str]


def _names(config: Config, state: State) -> Names:
    return {
        "targets": [target.model for route in config.routes.values() for target in route.targets],
        "routes": list(state.routes),
        "uncached": [name for name in state.routes if not state.keeping(name).enabled],
    }


async def serve(
    plan: Plan, again: Callable[[], Plan], env: Mapping[str, str], *, as_json: bool
) -> int:
    """Run the daemon until a signal; return the exit status. `again` reads the configuration anew.

    Raises `AddressError`, `BadTokens` or `Misconfigured` when it can't start.
    """
    config, means = plan.loaded.config, plan.upstream
    async with open_transport(plan.loaded, means, env) as transport, AsyncExitStack() as closing:
        clock = SystemClock()
        notes = Notes(NoteLog(clock))
        store = await closing.enter_async_context(open_store(config, notes=notes, clock=clock))
        state = State(config, notes=notes, clock=clock, store=store, origin=_origin(config, means))
        opening = open_book(config, state.ledger, notes=notes, clock=clock)
        state.book = await closing.enter_async_context(opening)
        tell_of_memory(config)
        reloads = Reloads(plan.loaded.sha256, clock.wall())
        running = Running(config, transport, state, notes=notes, as_json=as_json, reloads=reloads)

        async def adopt(wanted: Config) -> None:
            if not running.state.ledger.budgets:
                tell_of_memory(wanted)
                await opened_for(wanted, running.state.book)
            running.configure(wanted, fronts)

        reloader = Reloader(again, plan, adopt=adopt, clock=clock, reloads=reloads)
        fronts = running.fronts(partial(reloader.reload, "an order"))
        told = running.told(fronts)
        closing.callback(running.later.flush)
        lag = LoopLag(clock, running.metrics.lag.add)
        lag.start()
        closing.callback(lag.stop)
        if running.otlp is not None:
            running.otlp.start()
            closing.push_async_callback(running.otlp.aclose)
        closing.push_async_callback(running.stack.cache.aclose)
        closing.push_async_callback(state.judge.aclose)
        facts = {"upstream": repr(transport)}
        # First, so that a second daemon is told of the address that everybody knows.
        refuse_taken(config.listen.grpc)
        others = await _open_others(config, fronts, told, closing, facts)

        async with reloader:
            started = partial(_announce, config, fronts, facts)
            grace_s, drained = config.listen.grace_s, running.later.flush
            return await lifecycle.run(
                fronts.grpc, *others, grace_s=grace_s, started=started, drained=drained
            )


def _announce(config: Config, fronts: Fronts, facts: dict[str, str]) -> None:
    """Log that the daemon serves, and where."""
    # What was made to get here stays: each full collection went through all of it, and measured,
    # held up every call for 80 ms on a machine where one takes 0.3.
    gc.freeze()
    if fronts.grpc.health_address:
        facts["health"] = fronts.grpc.health_address
    _log.info("serving", extra={"grpc": fronts.grpc.address, **facts})
    if exposed := open_to_all(config.listen):
        why = "with listen.tokens_file or listen.tls.client_ca_file, callers are known"
        _log.warning("ANYBODY CAN CALL", extra={"at": exposed, "why": why})


async def _open_others(
    config: Config, fronts: Fronts, told: Told, closing: AsyncExitStack, facts: dict[str, str]
) -> list[lifecycle.Stoppable]:
    """Start the servers beside gRPC's; return those that are drained with it."""
    if config.listen.admin is not None:
        # What costs memory and time to load is loaded where it is wanted.
        from sidecard.server.admin import AdminServer  # noqa: PLC0415

        admin = AdminServer(config.listen.admin, told, any_host=config.listen.allow_remote)
        await admin.start()
        closing.push_async_callback(admin.stop)
        facts["admin"] = admin.address
    if fronts.http is None:
        return []
    await fronts.http.start()
    facts["http"] = fronts.http.address
    return [fronts.http]


def _origin(config: Config, means: Means) -> str:
    """Return what tells one upstream from another."""
    upstream = config.upstream
    simulated = means == "simulated"
    return means if simulated else f"{means} {upstream.sdk_client} {upstream.base_url}"
