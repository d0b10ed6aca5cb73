"""The composition root: configuration in, a daemon out.

`build_stack` is the architecture; read it first.
"""

import logging
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sidecard.config.load import Loaded
from sidecard.config.schema import Config
from sidecard.config.simulate import Upstream as Means
from sidecard.core.clock import SystemClock
from sidecard.core.handler import Handler
from sidecard.core.jsonio import JsonObject
from sidecard.core.ports import CallSink, NoteSink
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
from sidecard.opening import access_log, open_book, open_spans, open_store, open_transport
from sidecard.server import lifecycle
from sidecard.server.admin_service import AdminServicer
from sidecard.server.admin_token import AdminToken
from sidecard.server.caller_tokens import Callers, CallerTokens
from sidecard.server.decode import Decoder
from sidecard.server.grpc_server import Credentials, GrpcServer, Listen
from sidecard.server.servicer import GenerationServicer, RpcSink
from sidecard.server.told import Told
from sidecard.state import State
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

if TYPE_CHECKING:
    from sidecard.server.http.server import HttpServer
    from sidecard.telemetry.otlp import Otlp

_log = logging.getLogger(__name__)


class Stack(NamedTuple):
    """The handler that answers calls, and those of its layers that others ask."""

    handler: Handler
    admit: Admit
    coalesce: Coalesce
    cache: ExactCache


def _asking(client: Client, state: State, notes: NoteSink) -> Handler:
    """Return what asks one target, from the inside out."""
    clock = state.clock
    # One attempt at one target: nothing is returned before its first content is in hand.
    stack: Handler = Upstream(client, limits_of=state.limits, cost_of=state.cost_of, clock=clock)
    # A target is sent no more requests and tokens than it takes, and nothing while it says no.
    stack = RateLimit(stack, gate_of=state.gates, notes=notes, clock=clock)
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
    return Retry(
        stack,
        policies=state.retry,
        budget=state.retry_budget,
        latency_of=state.target_times,
        clock=clock,
        notes=notes,
        chance=random.random,
    )


def build_stack(
    client: Client, state: State, *, sink: CallSink, notes: NoteSink, content: bool = False
) -> Stack:
    """Return the handler that answers calls, put together from the inside out."""
    clock = state.clock
    # One target is asked, and asked again, as far as limits and budgets allow.
    stack = _asking(client, state, notes)
    # When a target is given up the next one is asked, and then what may stand in for an answer.
    stack = Fallback(stack, clock=clock, notes=notes, stale=state.answers.stale)
    # A stream that breaks in the middle goes on at another target, if that is wanted.
    stack = Rescue(stack, clock=clock, notes=notes)
    # As many calls run as there are permits; others wait in a fair order, or are refused at once.
    shared, own = state.admission()
    stack = admit = Admit(stack, policies=own, shared=shared, clock=clock, notes=notes)
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
    )
    # What was answered before is answered again, at once and at no cost, as long as it is fresh.
    anew = Observe(stack, sink=sink, clock=clock)
    stack = cache = ExactCache(stack, answers=state.answers, clock=clock, refresh=anew)
    # Whatever became of the call, it is noted once, as the caller saw it.
    stack = Observe(stack, sink=sink, clock=clock, content=content)
    return Stack(stack, admit, coalesce, cache)


async def serve(loaded: Loaded, means: Means, env: Mapping[str, str], *, as_json: bool) -> int:
    """Run the daemon until a signal; return the exit status.

    Raises `AddressError` or `Misconfigured` when it can't start.
    """
    config = loaded.config
    async with open_transport(loaded, means, env) as transport, AsyncExitStack() as closing:
        clock = SystemClock()
        notes = Notes(NoteLog(clock))
        store = await closing.enter_async_context(open_store(config, notes=notes, clock=clock))
        state = State(config, notes=notes, clock=clock, store=store, origin=_origin(config, means))
        opening = open_book(config, state.ledger, notes=notes, clock=clock)
        state.book = await closing.enter_async_context(opening)
        built = build_server(config, transport, state, notes=notes, as_json=as_json)
        server, told = built.server, built.told
        built.lag.start()
        closing.callback(built.lag.stop)
        if built.otlp is not None:
            built.otlp.start()
            closing.push_async_callback(built.otlp.aclose)
        closing.push_async_callback(built.cache.aclose)
        closing.push_async_callback(state.judge.aclose)
        facts = {"upstream": repr(transport)}
        if config.listen.admin is not None:
            # What costs memory and time to load is loaded where it is wanted.
            from sidecard.server.admin import AdminServer  # noqa: PLC0415

            admin = AdminServer(config.listen.admin, told, any_host=config.listen.allow_remote)
            await admin.start()
            closing.push_async_callback(admin.stop)
            facts["admin"] = admin.address

        others: list[lifecycle.Stoppable] = []
        if built.http is not None:
            await built.http.start()
            others.append(built.http)
            facts["http"] = built.http.address

        def started() -> None:
            if server.health_address:
                facts["health"] = server.health_address
            _log.info("serving", extra={"grpc": server.address, **facts})

        grace_s = config.listen.grace_s
        return await lifecycle.run(server, *others, grace_s=grace_s, started=started)


class Built(NamedTuple):
    """The server, what it tells of itself, and what is to be stopped after it."""

    server: GrpcServer
    told: Told
    cache: ExactCache
    lag: LoopLag
    otlp: "Otlp | None"
    http: "HttpServer | None"


def build_server(
    config: Config, transport: Transport, state: State, *, notes: Notes, as_json: bool
) -> Built:
    """Return the daemon's server over a transport and a store that somebody else closes."""
    clock = state.clock
    began = clock.now()
    client = Client(transport, clock=clock)
    calls = Calls(access_log(config, state.redactor, clock=clock, as_json=as_json))
    content = config.log.content != "none"
    stack = build_stack(client, state, sink=calls, notes=notes, content=content)
    parts = (state, stack.admit, stack.coalesce)
    metrics = Metrics(
        lambda: gauges(*parts, transport.busy),
        targets=[target.model for route in config.routes.values() for target in route.targets],
        routes=state.routes,
        uncached=[name for name in state.routes if not state.keeping(name).enabled],
    )
    recent = Recent(clock)
    calls.add(metrics.call)
    calls.add(recent)
    otlp = open_spans(config, state.redactor, calls, clock=clock, count=metrics.spans.add)
    notes.add(metrics.note)
    lag = LoopLag(clock, metrics.lag.add)
    count = TokenCounter(client, timeout_s=config.timeouts.first_event_s)
    callers = _callers(config)
    servicer = GenerationServicer(
        stack.handler,
        hits=Shortcut(state.answers, sink=calls, clock=clock),
        count=count,
        callers=callers,
        decoder=Decoder(
            routes=state.routes, allowed_models=config.upstream.models, intake=state.intake()
        ),
        clock=clock,
        sink=metrics.rpc,
        total_s=config.timeouts.total_s,
        max_message_bytes=config.listen.max_message_bytes,
        trace_share=config.traces.share,
    )
    server = GrpcServer(servicer, _listen(config), _orders(config, state, servicer))

    def told() -> JsonObject:
        found = status(*parts, unready=server.unready, uptime_s=clock.now() - began)
        return {**found, **metrics.summary(), "recent": recent.told()}

    usage = state.book.usage if state.book else None
    told_of = Told(told, metrics.page, lambda: server.unready, usage)
    http = _http(config, state, stack.handler, count, sink=metrics.rpc, callers=callers)
    return Built(server, told_of, stack.cache, lag, otlp, http)


def _callers(config: Config) -> Callers | None:
    """Return who knows callers' tokens; raises `BadTokens`. None where calls need none."""
    path = config.listen.tokens_file
    return CallerTokens(Path(path)).tenant if path else None


def _http(
    config: Config,
    state: State,
    stack: Handler,
    count: TokenCounter,
    *,
    sink: RpcSink,
    callers: Callers | None,
) -> "HttpServer | None":
    """Return the server for programs that use an Anthropic SDK, None where there is none."""
    if config.listen.http is None:
        return None
    # As with the admin server: loaded where it is wanted.
    from sidecard.server.http.decode import Decoder as HttpDecoder  # noqa: PLC0415
    from sidecard.server.http.server import HttpServer  # noqa: PLC0415

    return HttpServer(
        config.listen.http,
        stack,
        count=count,
        callers=callers,
        decoder=HttpDecoder(
            routes=state.routes, allowed_models=config.upstream.models, intake=state.intake()
        ),
        clock=state.clock,
        sink=sink,
        total_s=config.timeouts.total_s,
        max_message_bytes=config.listen.max_message_bytes,
        trace_share=config.traces.share,
        any_host=config.listen.allow_remote,
    )


def _origin(config: Config, means: Means) -> str:
    """Return what tells one upstream from another."""
    upstream = config.upstream
    simulated = means == "simulated"
    return means if simulated else f"{means} {upstream.sdk_client} {upstream.base_url}"


def _orders(config: Config, state: State, servicer: GenerationServicer) -> AdminServicer | None:
    """Return who takes the operator's orders, None where nobody could tell who that is."""
    if config.listen.admin_token_file is not None:
        token = AdminToken(Path(config.listen.admin_token_file))
    elif config.data_dir is not None:
        try:
            token = AdminToken.made(Path(config.data_dir) / "admin-token")
        except OSError as error:
            facts = {"data_dir": config.data_dir, "why": error.strerror}
            _log.warning("no orders are taken: the token can't be kept", extra=facts)
            return None
    else:
        return None

    def forget() -> None:
        state.answers.forget()
        servicer.recall.forget()

    return AdminServicer(state.store, token=token, clock=state.clock, forget=forget)


def _listen(config: Config) -> Listen:
    listen = config.listen
    return Listen(
        grpc=listen.grpc,
        health=listen.health,
        unix_mode=int(listen.unix_mode, 8),
        max_message_bytes=listen.max_message_bytes,
        keepalive_s=listen.keepalive_s,
        reflection=listen.reflection,
        credentials=_credentials(config),
    )


def _credentials(config: Config) -> Credentials | None:
    """Return what gRPC is encrypted with, None for nothing; raises `BadCertificates`."""
    tls = config.listen.tls
    if tls is None:
        return None
    # cryptography is loaded where there is something to encrypt.
    from sidecard.server.certificates import Certificates, Files  # noqa: PLC0415

    ca = None if tls.client_ca_file is None else Path(tls.client_ca_file)
    return Certificates(Files(Path(tls.cert_file), Path(tls.key_file), ca)).credentials()
