"""The daemon's life: start, serve until a signal, drain, exit."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from sidecard.server.grpc_server import GrpcServer

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Counts the signals that ask the process to end: the first politely, the second at once."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.number = 0

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._received, number)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def _received(self, number: int) -> None:
        self.number = number
        (self.second if self.first.is_set() else self.first).set()


class Stoppable(Protocol):
    """What is drained beside the gRPC server."""

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, give what runs `grace_s`, then end it; called again, with less."""
        ...


async def run(
    server: GrpcServer,
    *others: Stoppable,
    grace_s: float,
    started: Callable[[], None],
    drained: Callable[[], None],
) -> int:
    """Serve until a signal and drain; return the exit status.

    `others` serve already, and are drained with it. `drained` is called when no call runs any more.

    0 when every running call had its time; 128 + the signal when a second one cut that short.
    Raises `AddressError` when there is nowhere to listen.
    """
    with Signals() as signals:
        await server.start()
        started()
        await signals.first.wait()
        _log.info("draining", extra={"grace_s": grace_s})
        draining = asyncio.create_task(_stop((server, *others), grace_s))
        cut_short = asyncio.create_task(signals.second.wait())
        await asyncio.wait((draining, cut_short), return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            cut_short.cancel()
            drained()
            _log.info("stopped")
            return 0
        _log.warning("stopped at once, on a second signal")
        await _stop((server, *others), 0)  # Shortens the grace of the first.
        await draining
        return 128 + signals.number


async def _stop(servers: Sequence[Stoppable], grace_s: float) -> None:
    await asyncio.gather(*[server.stop(grace_s) for server in servers])
