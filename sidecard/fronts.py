"""What stands before the stack: the servers that callers and the operator reach, as configured."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from sidecard.config.schema import Config
from sidecard.core.call import Route
from sidecard.core.handler import Handler
from sidecard.core.ports import Hits, NoteSink
from sidecard.policy.intake import Intake
from sidecard.server.admin_service import AdminServicer, Release, Reload
from sidecard.server.admin_token import AdminToken
from sidecard.server.caller_tokens import Callers, CallerTokens
from sidecard.server.decode import Decoder
from sidecard.server.grpc_server import GrpcServer
from sidecard.server.memory import Memory, most_of
from sidecard.server.servicer import GenerationServicer, RpcSink
from sidecard.state import State
from sidecard.upstream.count import TokenCounter
from sidecard.upstream.transport import Misconfigured

if TYPE_CHECKING:
    from sidecard.server.http.server import HttpServer
    from sidecard.server.tls import ServerTls

_log = logging.getLogger(__name__)


class Decoding(TypedDict):
    """What both decoders of requests are made of."""

    routes: Mapping[str, Route]
    allowed_models: Sequence[str]
    intake: Intake


class Behind(NamedTuple):
    """What one configuration puts behind the servers."""

    config: Config
    state: State
    stack: Handler
    counter: TokenCounter


class Fronts:
    """The servers. They stay while what is behind them is replaced.

    Raises `BadTokens` and `Misconfigured` for files that are no good.
    """

    def __init__(
        self,
        behind: Behind,
        *,
        hits: Hits,
        sink: RpcSink,
        notes: NoteSink,
        reload: Reload,
        release: Release,
    ) -> None:
        config, state = behind.config, behind.state
        callers = _callers(config)
        most_bytes = most_of(config.listen.max_memory_bytes)
        memory = Memory(most_bytes, clock=state.clock, notes=notes)
        self._servicer = GenerationServicer(
            behind.stack,
            hits=hits,
            count=behind.counter,
            callers=callers,
            decoder=_decoder(behind),
            clock=state.clock,
            sink=sink,
            total_s=config.timeouts.total_s,
            listen=config.listen,
            memory=memory,
            notes=notes,
            trace_share=config.traces.share,
        )
        tls = _tls(config)
        self._state = state
        orders = self._orders(config, state, reload, release)
        total_s = config.timeouts.total_s
        self.grpc = GrpcServer(self._servicer, config.listen, orders, tls, total_s=total_s)
        self.http = _http(behind, sink=sink, callers=callers, memory=memory, tls=tls)

    def configure(self, behind: Behind) -> None:
        """Answer the next calls by this."""
        self._state = behind.state
        stack, count, total_s = behind.stack, behind.counter, behind.config.timeouts.total_s
        self._servicer.configure(stack, count=count, decoder=_decoder(behind), total_s=total_s)
        if self.http is not None:
            # As below: loaded where it is wanted.
            from sidecard.server.http.decode import Decoder as HttpDecoder  # noqa: PLC0415

            decoder = HttpDecoder(**_decoding(behind))
            self.http.configure(stack, count=count, decoder=decoder, total_s=total_s)

    def _orders(
        self, config: Config, state: State, reload: Reload, release: Release
    ) -> AdminServicer | None:
        """Return who takes the operator's orders, None where nobody could tell who that is."""
        token = _operators_token(config)
        if token is None:
            return None
        recall = self._servicer.recall

        def forget() -> None:
            state.answers.forget()
            recall.forget()

        return AdminServicer(
            state.store,
            token=token,
            clock=state.clock,
            breakers=lambda: self._state.breakers,
            forget=forget,
            reload=reload,
            release=release,
        )


def _decoding(behind: Behind) -> Decoding:
    config, state = behind.config, behind.state
    return {
        "routes": state.routes,
        "allowed_models": config.upstream.models,
        "intake": state.intake(),
    }


def _decoder(behind: Behind) -> Decoder:
    return Decoder(**_decoding(behind))


def _callers(config: Config) -> Callers | None:
    """Return who knows callers' tokens; raises `BadTokens`. None where calls need none."""
    path = config.listen.tokens_file
    return CallerTokens(Path(path)).tenant if path else None


def _tls(config: Config) -> "ServerTls | None":
    """Return what encrypts; raises `Misconfigured`. None where nothing does."""
    if config.listen.tls is None:
        return None
    from sidecard.config.certificates import BadCertificates  # noqa: PLC0415  # costs 50 ms
    from sidecard.server.tls import ServerTls  # noqa: PLC0415

    try:
        return ServerTls(config.listen.tls)
    except BadCertificates as error:
        raise Misconfigured(f"listen.tls.{error.field}: {error}") from None


def _http(
    behind: Behind,
    *,
    sink: RpcSink,
    callers: Callers | None,
    memory: Memory,
    tls: "ServerTls | None",
) -> "HttpServer | None":
    """Return the server for programs that use an Anthropic SDK, None where there is none."""
    config = behind.config
    if config.listen.http is None:
        return None
    # As with the admin server: loaded where it is wanted.
    from sidecard.server.http.decode import Decoder as HttpDecoder  # noqa: PLC0415
    from sidecard.server.http.server import HttpServer  # noqa: PLC0415

    return HttpServer(
        config.listen.http,
        behind.stack,
        count=behind.counter,
        callers=callers,
        decoder=HttpDecoder(**_decoding(behind)),
        clock=behind.state.clock,
        sink=sink,
        total_s=config.timeouts.total_s,
        listen=config.listen,
        memory=memory,
        tls=tls,
        trace_share=config.traces.share,
    )


def _operators_token(config: Config) -> AdminToken | None:
    """Return what orders are known by, None where none are taken."""
    if not config.listen.orders:
        return None
    if config.listen.admin_token_file is not None:
        return AdminToken(Path(config.listen.admin_token_file))
    if config.data_dir is None:
        return None
    try:
        return AdminToken.made(Path(config.data_dir) / "admin-token")
    except OSError as error:
        facts = {"data_dir": config.data_dir, "why": error.strerror}
        _log.warning("no orders are taken: the token can't be kept", extra=facts)
        return None
