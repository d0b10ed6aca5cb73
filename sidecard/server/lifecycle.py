"""The daemon's life: start, serve until a signal, drain, exit."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Self

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


async def run(server: GrpcServer, *, grace_s: float, started: Callable[[], None]) -> int:
    """Serve until a signal and drain; return the exit status.

    0 when every running call had its time; 128 + the signal when a second one cut that short.
    Raises `AddressError` when there is nowhere to listen.
    """
    with Signals() as signals:
        await server.start()
        started()
        await signals.first.wait()
        _log.info("draining", extra={"grace_s": grace_s})
        draining = asyncio.create_task(server.stop(grace_s))
        cut_short = asyncio.create_task(signals.second.wait())
        await asyncio.wait((draining, cut_short), return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            cut_short.cancel()
            _log.info("stopped")
            return 0
        _log.warning("stopped at once, on a second signal")
        await server.stop(0)  # Shortens the grace of the first.
        await draining
        return 128 + signals.number
