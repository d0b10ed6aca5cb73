"""Callers that open connections by the thousand, and say nothing or half of something."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator

from sidecard.simulator.server import Simulator
from tests.chaos.load import ask
from tests.support.daemon import ONCE, running, settings
from tests.support.rpc import connected
from tests.support.simulator import until

SILENT = 5_000
HALF = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00"
"""The preface of HTTP/2, and the beginning of a frame that never ends."""


@contextlib.asynccontextmanager
async def held(address: str, number: int, say: bytes) -> AsyncIterator[int]:
    """Hold so many connections open that say only that."""
    host, port = address.rsplit(":", 1)
    writers: list[asyncio.StreamWriter] = []
    try:
        for _ in range(number):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(say)
            writers.append(writer)
        yield len(writers)
    finally:
        for writer in writers:
            writer.transport.abort()


async def test_thousands_of_silent_connections_keep_nobody_out() -> None:
    """Beside 5,000 connections that say nothing, and some that say half, others are served.

    When they have gone, their descriptors are free again.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    number = min(SILENT, hard - 500)
    try:
        async with (
            Simulator() as sim,
            running(settings(sim.base_url) | ONCE) as daemon,
            connected(daemon.address) as caller,
        ):
            assert (await ask(caller, stream=False, deadline_s=10)).answered
            before = daemon.open_files
            async with (
                held(daemon.address, number - 100, b"") as silent,
                held(daemon.address, 100, HALF) as half,
            ):
                assert silent + half == number
                for turn in range(20):
                    assert (await ask(caller, stream=turn % 2 == 1, deadline_s=5)).answered
                async with connected(daemon.address) as newcomer:
                    assert (await ask(newcomer, stream=False, deadline_s=10)).answered
            await until(lambda: daemon.open_files <= before + 20)
            assert (await ask(caller, stream=False, deadline_s=10)).answered
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
