"""The gRPC server: services, limits, health, and a stop that lets running calls finish."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from sidecard.config.listen import Listen
from sidecard.server import admin_service
from sidecard.server import health as health_service
from sidecard.server.address import bind, inode, release
from sidecard.server.admin_service import AdminServicer
from sidecard.server.servicer import GenerationServicer, handlers

if TYPE_CHECKING:
    from sidecard.server.tls import ServerTls

SERVICE: Final = "sidecard.v1.GenerationService"

_log: Final = logging.getLogger(__name__)

_TELL_S: Final = 1.0
_LEAVE_S: Final = 1.0
"""How long the last bytes of calls that ended may take to leave: a busy machine stalls for less."""

_GRPC_LIMIT_FACTOR: Final = 2
"""gRPC's own size limit over ours: what lies between gets a status that names the field."""


_READ_AHEAD: Final = ("grpc.experimental.tcp_max_read_buffer_size", 262_144)
"""How far gRPC reads ahead of what it has parsed of a connection. Without a bound one that sends
frames of no use faster than they are parsed took 900 MB, as measured, and all of it was kept."""

_PROBED: Final = (
    ("grpc.so_reuseport", 0),
    _READ_AHEAD,
    ("grpc.max_receive_message_length", 4_096),
    ("grpc.max_concurrent_streams", 16),
    ("grpc.server_handshake_timeout_ms", 5_000),
    # So many that a probe finds room among strangers; each holds about 15 kB.
    ("grpc.max_allowed_incoming_connections", 512),
    ("grpc.http2.settings_timeout", 5_000),
    # Probes connect anew each time: nobody who stays, or watches, keeps memory for long.
    ("grpc.max_connection_idle_ms", 2_000),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_age_grace_ms", 1_000),
)
"""Of the address that other machines reach, and that tells the health alone."""


class GrpcServer:
    """Serves one `GenerationServicer`. Started once, stopped once.

    `unready` is why it takes no calls, None when it does.
    """

    def __init__(
        self,
        servicer: GenerationServicer,
        listen: Listen,
        admin: AdminServicer | None = None,
        tls: "ServerTls | None" = None,
        *,
        total_s: float,
    ) -> None:
        self.address = self.health_address = ""
        self.unready: str | None = "starting"
        self._inode: tuple[int, int] | None = None
        self._listen = listen
        self._tls = tls
        self._open_calls = servicer.open_calls
        self._server = grpc.aio.server(options=_options(listen, total_s))
        self._health = health.aio.HealthServicer()
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers(servicer)),)
        )
        services = [SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME]
        if admin is not None:
            orders = admin_service.handlers(admin, listen.body_s)
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(admin_service.SERVICE, orders),)
            )
            services.append(admin_service.SERVICE)
        told = health_service.handler(self._health, listen.body_s)
        self._server.add_generic_rpc_handlers((told,))
        self._probed: grpc.aio.Server | None = None
        if listen.health is not None:
            self._probed = grpc.aio.server(options=_PROBED)
            self._probed.add_generic_rpc_handlers((told,))
        if listen.reflection:
            reflection.enable_server_reflection(services, self._server)

    async def start(self) -> None:
        """Listen and serve; raises `AddressError`. Both addresses are then those as bound."""
        credentials = self._tls.grpc_credentials() if self._tls else None
        mode = int(self._listen.unix_mode, 8)
        self.address = bind(self._server, self._listen.grpc, mode, credentials)
        self._inode = inode(self.address)
        if self._probed is not None and self._listen.health is not None:
            self.health_address = bind(self._probed, self._listen.health, mode)
            await self._probed.start()
        await self._server.start()
        for service in ("", SERVICE):
            await self._health.set(service, HealthCheckResponse.SERVING)
        self.unready = None

    async def stop(self, grace_s: float) -> None:
        """Turn not ready, take no new calls, give running ones `grace_s`, then end them.

        Called again with less, it shortens the grace. Whoever watches the health is no call.
        """
        self.unready = "draining"
        await self._health.enter_graceful_shutdown()
        stopping = asyncio.ensure_future(self._server.stop(grace_s + 2 * _TELL_S))
        if cut := await self._open_calls.finish(grace_s, tell_s=_TELL_S):
            _log.warning("calls cut", extra={"calls": cut, "grace_s": grace_s})
        # A call's task ends before its last bytes have left, which a stop without grace overtakes.
        await self._server.stop(_LEAVE_S)
        await stopping
        if self._probed is not None:  # Until here it has told that nothing is taken any more.
            await self._probed.stop(0)
        release(self.address, self._inode)


def _options(listen: Listen, total_s: float) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", listen.max_message_bytes * _GRPC_LIMIT_FACTOR),
        # An answer that the upstream gave is never refused for its size here.
        ("grpc.max_send_message_length", -1),
        # Two daemons on one port would share its calls without a word.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", round(listen.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A caller that waits for a slow answer may ping every second; a flood is cut.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.http2.max_ping_strikes", 20),
        _READ_AHEAD,
        ("grpc.max_allowed_incoming_connections", listen.connections),
        ("grpc.max_concurrent_streams", listen.streams),
        # Calls that wait for us to take them; beyond, gRPC cancels any, without a word.
        ("grpc.server.max_pending_requests", listen.calls),
        ("grpc.server.max_pending_requests_hard_limit", listen.calls),
        # Both hold once the caller has confirmed our settings, for which it has that long.
        ("grpc.max_metadata_size", listen.header_bytes),
        ("grpc.absolute_max_metadata_size", listen.header_bytes),
        ("grpc.server_handshake_timeout_ms", round(listen.handshake_s * 1000)),
        ("grpc.http2.settings_timeout", round(listen.handshake_s * 1000)),
        ("grpc.max_connection_idle_ms", round(listen.idle_s * 1000)),
        ("grpc.max_connection_age_ms", round(listen.age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", round(total_s * 1000)),
    ]
