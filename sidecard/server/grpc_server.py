"""The gRPC server: services, limits, health, and a stop that lets running calls finish."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from sidecard.server import admin_service
from sidecard.server.address import bind, inode, release
from sidecard.server.admin_service import AdminServicer
from sidecard.server.servicer import GenerationServicer, handlers

SERVICE: Final = "sidecard.v1.GenerationService"

_log: Final = logging.getLogger(__name__)

_TELL_S: Final = 1.0
_LEAVE_S: Final = 0.2
"""How long calls that are cut may take to hear of it."""

_GRPC_LIMIT_FACTOR: Final = 2
"""gRPC's own size limit over ours: what lies between gets a status that names the field."""

Credentials: TypeAlias = grpc.ServerCredentials
"""What a port is encrypted with."""


@dataclass(frozen=True, slots=True)
class Listen:
    """How to listen; see the configuration's section `listen` for each."""

    grpc: str
    health: str | None
    unix_mode: int
    max_message_bytes: int
    keepalive_s: float
    reflection: bool
    credentials: Credentials | None = None


_PROBED: Final = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4_096),
    ("grpc.max_concurrent_streams", 16),
    # Probes connect anew each time: nobody who stays, watching, keeps memory for long.
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_age_grace_ms", 1_000),
)
"""Of the address that other machines reach, and that tells the health alone."""


class GrpcServer:
    """Serves one `GenerationServicer`. Started once, stopped once.

    `unready` is why it takes no calls, None when it does.
    """

    def __init__(
        self, servicer: GenerationServicer, listen: Listen, admin: AdminServicer | None = None
    ) -> None:
        self.address = self.health_address = ""
        self.unready: str | None = "starting"
        self._inode: tuple[int, int] | None = None
        self._listen = listen
        self._open_calls = servicer.open_calls
        self._server = grpc.aio.server(options=_options(listen))
        self._health = health.aio.HealthServicer()
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers(servicer)),)
        )
        services = [SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME]
        if admin is not None:
            orders = admin_service.handlers(admin)
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(admin_service.SERVICE, orders),)
            )
            services.append(admin_service.SERVICE)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._probed: grpc.aio.Server | None = None
        if listen.health is not None:
            self._probed = grpc.aio.server(options=_PROBED)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probed)
        if listen.reflection:
            reflection.enable_server_reflection(services, self._server)

    async def start(self) -> None:
        """Listen and serve; raises `AddressError`. Both addresses are then those as bound."""
        listen = self._listen
        self.address = bind(self._server, listen.grpc, listen.unix_mode, listen.credentials)
        self._inode = inode(self.address)
        if self._probed is not None and self._listen.health is not None:
            self.health_address = bind(self._probed, self._listen.health, self._listen.unix_mode)
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


def _options(listen: Listen) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", listen.max_message_bytes * _GRPC_LIMIT_FACTOR),
        # An answer that the upstream gave is never refused for its size here.
        ("grpc.max_send_message_length", -1),
        # Two daemons on one port would share its calls without a word.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", round(listen.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A caller that waits for a slow answer may ping as it likes: that is no attack here.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
    ]
