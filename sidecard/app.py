"""The composition root: configuration in, a daemon out.

`build_stack` is the architecture; read it first.
"""

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple, TypedDict

from sidecard.config.listen import open_to_all
from sidecard.config.plan import Plan
from sidecard.config.reloads import Reloads
from sidecard.config.schema import Config
from sidecard.config.simulate import Upstream as Means
from sidecard.core.clock import SystemClock
from sidecard.core.handler import Handler
from sidecard.core.jsonio import JsonObject
from sidecard.core.ports import CallSink, NoteSink
from sidecard.fronts import Behind, Fronts
from sidecard.layers.admit import Admit
from sidecard.layers.bound import Bound
from sidecard.layers.breaker import Break
from sidecard.layers.budget import Spend
from sidecard.layers.coalesce import Coalesce
from sidecard.layers.exact_cache import ExactCache
from sidecard.layers.fallback import Fallback
from sidecard.layers.hedge import Hedge
from sidecard.layers.observe import Observe
from sidecard.layers.rate_limit import RateLimit
from sidecard.layers.rescue import Rescue
from sidecard.layers.retry import Retry
from sidecard.layers.shortcut import Shortcut
from sidecard.layers.structured import Structured
from sidecard.opening import keeps_expired_s, open_book, open_store, open_transport
from sidecard.reloading import Reloader
from sidecard.server import lifecycle
from sidecard.server.admin_service import Reload
from sidecard.server.told import Told
from sidecard.state import State
from sidecard.telemetry import log
from sidecard.telemetry.access import AccessLog
from sidecard.telemetry.lag import LoopLag
from sidecard.telemetry.metrics import Metrics
from sidecard.telemetry.notes import NoteLog
from sidecard.telemetry.recent import Recent
from sidecard.telemetry.sinks import Calls, Notes
from sidecard.telling import gauges, status
from sidecard.upstream.client import Client
from sidecard.upstream.count import TokenCounter
from sidecard.upstream.handler import Upstream
from sidecard.upstream.transport import Transport

_log = logging.getLogger(__name__)


class Stack(NamedTuple):
    """The handler that answers calls, and those of its layers that others ask."""

    handler: Handler
    admit: Admit
    coalesce: Coalesce
    cache: ExactCache
    limit: RateLimit


class Before(NamedTuple):
    """Those of an earlier stack's layers that the next one's go on with, if there was one."""

    admit: Admit | None = None
    coalesce: Coalesce | None = None
    cache: ExactCache | None = None
    limit: RateLimit | None = None


def _asking(
    client: Client, state: State, notes: NoteSink, before: RateLimit | None
) -> tuple[Handler, RateLimit]:
    """Return what asks one target, from the inside out, and what holds it back."""
    clock = state.clock
    # One attempt at one target: nothing is returned before its first content is in hand.
    stack: Handler = Upstream(client, limits_of=state.limits, cost_of=state.cost_of, clock=clock)
    # A target is sent no more requests and tokens than it takes, and nothing while it says no.
    stack = limit = RateLimit(stack, gate_of=state.gates, notes=notes, clock=clock, before=before)
    # A target that fails too often, or too slowly, is left alone for a while.
    stack = Break(stack, breaker_of=state.breakers, usual_s=state.usual_s, clock=clock)
    # Whatever is sent is paid for: its worst case is set aside before, and the rest given back.
    stack = Spend(
        stack,
        ledger=state.ledger,
        worst_of=state.worst_of,
        book=state.book,
        closed=state.closed,
        counts_unpriced=state.counts_unpriced,
        clock=clock,
        notes=notes,
    )
    # An attempt that is late gets company, where a route wants it, and the first answer counts.
    stack = Hedge(
        stack,
        policies=state.hedge,
        budget=state.retry_budget,
        latency_of=state.route_times,
        clock=clock,
        notes=notes,
    )
    # What may be gone at the next attempt is tried again, as far as budget and deadline allow.
    stack = Retry(
        stack,
        policies=state.retry,
        budget=state.retry_budget,
        latency_of=state.target_times,
        clock=clock,
        notes=notes,
        chance=random.random,
    )
    return stack, limit


def build_stack(
    client: Client,
    state: State,
    *,
    sink: CallSink,
    notes: NoteSink,
    before: Stack | None = None,
) -> Stack:
    """Return the handler that answers calls, put together from the inside out.

    `before` is the stack of the configuration before: who runs, waits or can be joined there
    counts here, too.
    """
    clock, earlier = state.clock, Before(*before[1:]) if before else Before()
    # One target is asked, and asked again, as far as limits and budgets allow.
    stack, limit = _asking(client, state, notes, earlier.limit)
    # When a target is given up the next one is asked, and then what may stand in for an answer.
    stack = Fallback(stack, clock=clock, notes=notes, stale=state.answers.stale)
    # A stream that breaks in the middle goes on at another target, if that is wanted.
    stack = Rescue(stack, clock=clock, notes=notes)
    # As many calls run as there are permits; others wait in a fair order, or are refused at once.
    shared, own = state.admission()
    stack = admit = Admit(
        stack, policies=own, shared=shared, clock=clock, notes=notes, before=earlier.admit
    )
    # What is larger than its caller allows, or has no price where it needs one, is refused.
    stack = Bound(stack, estimator=state.estimator, priced=state.priced)
    # What is asked for with a schema satisfies it, if need be at a second try, or is an error.
    stack = Structured(stack, state.judge, policies=state.structured, clock=clock, notes=notes)
    # Equal calls of a tenant at one moment share one answer, and it is paid for once.
    stack = coalesce = Coalesce(
        stack,
        clock=clock,
        fingerprint_of=state.fingerprints,
        shares=lambda route: state.keeping(route).coalesce,
        before=earlier.coalesce,
    )
    # What was answered before is answered again, at once and at no cost, as long as it is fresh.
    anew = Observe(stack, sink=sink, clock=clock)
    stack = cache = ExactCache(
        stack, answers=state.answers, clock=clock, refresh=anew, before=earlier.cache
    )
    # Whatever became of the call, it is noted once, as the caller saw it.
    stack = Observe(stack, sink=sink, clock=clock)
    return Stack(stack, admit, coalesce, cache, limit)


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
        self._access = AccessLog(clock=state.clock, as_json=as_json, redact=state.redactor)
        self._calls = Calls(self._access)
        self._recent = Recent(state.clock)
        self.metrics = Metrics(
            lambda: gauges(*self._parts(), busy=transport.busy), **_names(config, state)
        )
        self._calls.add(self.metrics.call)
        self._calls.add(self._recent)
        notes.add(self.metrics.note)
        self.behind, self.stack = self._built(config, state, None)
        self._tell(config)

    def _built(self, config: Config, state: State, before: Stack | None) -> tuple[Behind, Stack]:
        stack = build_stack(self._client, state, sink=self._calls, notes=self._notes, before=before)
        count = TokenCounter(self._client, timeout_s=config.timeouts.first_event_s)
        return Behind(config, state, stack.handler, count), stack

    def fronts(self, reload: Reload) -> Fronts:
        """Return the servers, to which `configure` puts what is next."""
        hits = Shortcut(self.state.answers, sink=self._calls, clock=self.state.clock)
        return Fronts(self.behind, hits=hits, sink=self.metrics.rpc, reload=reload)

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
        self._access.sample, self._access.slow_s = config.log.sample, config.log.slow_s

    def told(self, fronts: Fronts) -> Told:
        """Return what the admin server tells."""
        book, server = self.state.book, fronts.grpc

        def found() -> JsonObject:
            uptime_s = self.state.clock.now() - self._began
            state = status(*self._parts(), unready=server.unready, uptime_s=uptime_s)
            return {**state, **self.metrics.summary(), "recent": self._recent.told()}

        usage = book.usage if book else None
        return Told(found, self.metrics.page, lambda: server.unready, usage)

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

    Raises `AddressError` or `Misconfigured` when it can't start.
    """
    config, means = plan.loaded.config, plan.upstream
    async with open_transport(plan.loaded, means, env) as transport, AsyncExitStack() as closing:
        clock = SystemClock()
        notes = Notes(NoteLog(clock))
        store = await closing.enter_async_context(open_store(config, notes=notes, clock=clock))
        state = State(config, notes=notes, clock=clock, store=store, origin=_origin(config, means))
        opening = open_book(config, state.ledger, notes=notes, clock=clock)
        state.book = await closing.enter_async_context(opening)
        reloads = Reloads(plan.loaded.sha256, clock.wall())
        running = Running(config, transport, state, notes=notes, as_json=as_json, reloads=reloads)

        async def adopt(wanted: Config) -> None:
            if running.state.book is None:
                # The first budgets there are find what an earlier daemon spent of them.
                opening = open_book(wanted, state.ledger, notes=notes, clock=clock)
                running.state.book = book = await closing.enter_async_context(opening)
                told.usage = book.usage if book else None
            running.configure(wanted, fronts)

        reloader = Reloader(again, plan, adopt=adopt, clock=clock, reloads=reloads)
        fronts = running.fronts(partial(reloader.reload, "an order"))
        told = running.told(fronts)
        lag = LoopLag(clock, running.metrics.lag.add)
        lag.start()
        closing.callback(lag.stop)
        closing.push_async_callback(running.stack.cache.aclose)
        closing.push_async_callback(state.judge.aclose)
        facts = {"upstream": repr(transport)}
        others = await _open_others(config, fronts, told, closing, facts)

        def started() -> None:
            if fronts.grpc.health_address:
                facts["health"] = fronts.grpc.health_address
            _log.info("serving", extra={"grpc": fronts.grpc.address, **facts})
            if exposed := open_to_all(config.listen):
                why = "with listen.tokens_file or listen.tls.client_ca_file, callers are known"
                _log.warning("ANYBODY CAN CALL", extra={"at": exposed, "why": why})

        async with reloader:
            grace_s = config.listen.grace_s
            return await lifecycle.run(fronts.grpc, *others, grace_s=grace_s, started=started)


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
