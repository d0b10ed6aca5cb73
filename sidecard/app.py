"""The composition root: configuration in, a daemon out.

`build_stack` is the architecture; read it first.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sidecard.config.load import Loaded
from sidecard.config.schema import Config
from sidecard.config.simulate import KEY_VARIABLE
from sidecard.config.simulate import Upstream as Means
from sidecard.core.call import Route, Target
from sidecard.core.clock import Clock, SystemClock
from sidecard.core.handler import Handler
from sidecard.core.ports import CallSink
from sidecard.layers.observe import Observe
from sidecard.server import lifecycle
from sidecard.server.decode import Decoder
from sidecard.server.grpc_server import GrpcServer, Listen
from sidecard.server.servicer import GenerationServicer
from sidecard.telemetry.access import AccessLog
from sidecard.upstream.client import Client
from sidecard.upstream.count import TokenCounter
from sidecard.upstream.direct import Direct
from sidecard.upstream.handler import Limits, Upstream
from sidecard.upstream.keys import FileKey, FixedKey, KeySource
from sidecard.upstream.sdk import Sdk
from sidecard.upstream.transport import Transport

_log = logging.getLogger(__name__)


def build_stack(
    client: Client, *, limits_of: Callable[[str], Limits], sink: CallSink, clock: Clock
) -> Handler:
    """Return the handler that answers calls, put together from the inside out."""
    # One attempt at one target: nothing is returned before its first content is in hand.
    stack: Handler = Upstream(client, limits_of=limits_of, clock=clock)
    # Whatever became of the call, it is noted once, as the caller saw it.
    stack = Observe(stack, sink=sink, clock=clock)
    return stack


async def serve(loaded: Loaded, means: Means, env: Mapping[str, str], *, as_json: bool) -> int:
    """Run the daemon until a signal; return the exit status.

    Raises `AddressError` or `Misconfigured` when it can't start.
    """
    config = loaded.config
    async with open_transport(loaded, means, env) as transport:
        server = build_server(config, transport, as_json=as_json)

        def started() -> None:
            _log.info("serving", extra={"grpc": server.address, "upstream": repr(transport)})

        return await lifecycle.run(server, grace_s=config.listen.grace_s, started=started)


@asynccontextmanager
async def open_transport(
    loaded: Loaded, means: Means, env: Mapping[str, str]
) -> AsyncIterator[Transport]:
    """Open the way to the upstream that is meant, and close it at the end."""
    async with AsyncExitStack() as closing:
        if means == "simulated":
            # The simulator's web server is for laptops: a daemon with a key never loads it.
            from sidecard.simulator.server import Simulator  # noqa: PLC0415

            simulator = await closing.enter_async_context(Simulator())
            why = "no model is asked; set ANTHROPIC_API_KEY or upstream.api_key_file for real ones"
            _log.warning("SIMULATED ANSWERS", extra={"why": why})
            key = FixedKey("simulated", origin="the simulator's key")
            transport = _direct(loaded.config, simulator.base_url, key)
        elif means == "sdk":
            transport = _sdk(loaded)
        else:
            config = loaded.config
            transport = _direct(config, config.upstream.base_url, _key(config, env))
        closing.push_async_callback(transport.aclose)
        yield transport


def _direct(config: Config, base_url: str, key: KeySource) -> Transport:
    return Direct(base_url, key, connect_timeout_s=config.timeouts.connect_s)


def _sdk(loaded: Loaded) -> Transport:
    """Return the SDK's client; an address that nobody set is left to it, as clouds have theirs."""
    upstream = loaded.config.upstream
    return Sdk(
        upstream.sdk_client,
        base_url=upstream.base_url if "upstream.base_url" in loaded.given else "",
        connect_timeout_s=loaded.config.timeouts.connect_s,
    )


def build_server(config: Config, transport: Transport, *, as_json: bool) -> GrpcServer:
    """Return the daemon's server over a transport that somebody else closes."""
    clock = SystemClock()
    client = Client(transport, clock=clock)
    timeouts = config.timeouts
    limits = Limits(
        first_event_s=timeouts.first_event_s,
        idle_s=timeouts.idle_s,
        max_answer_bytes=config.upstream.max_answer_bytes,
        unstreamed_max_tokens=config.upstream.unstreamed_max_tokens,
    )
    sink = AccessLog(clock=clock, as_json=as_json)
    servicer = GenerationServicer(
        build_stack(client, limits_of=lambda _: limits, sink=sink, clock=clock),
        count=TokenCounter(client, timeout_s=timeouts.first_event_s),
        decoder=Decoder(routes=_routes(config), allowed_models=config.upstream.models),
        clock=clock,
        total_s=timeouts.total_s,
        max_message_bytes=config.listen.max_message_bytes,
    )
    return GrpcServer(servicer, _listen(config))


def _key(config: Config, env: Mapping[str, str]) -> KeySource:
    if (file := config.upstream.api_key_file) is not None:
        return FileKey(Path(file))
    return FixedKey(env[KEY_VARIABLE], origin=f"${KEY_VARIABLE}")


def _routes(config: Config) -> Mapping[str, Route]:
    return {
        name: Route(
            name=name,
            targets=tuple([Target(t.model, t.max_output_tokens) for t in route.targets]),
            max_tokens=route.max_tokens,
        )
        for name, route in config.routes.items()
    }


def _listen(config: Config) -> Listen:
    listen = config.listen
    return Listen(
        grpc=listen.grpc,
        unix_mode=int(listen.unix_mode, 8),
        max_message_bytes=listen.max_message_bytes,
        keepalive_s=listen.keepalive_s,
        reflection=listen.reflection,
    )
