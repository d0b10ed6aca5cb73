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

SILENT = 9_000
MANY = {"SIDECARD_LISTEN__CONNECTIONS": "10000", "SIDECARD_LISTEN__HANDSHAKE_S": "60"}
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
    """Beside 9,000 connections that say nothing, and some that say half, others are served.

    Each takes little memory; when they have gone, their descriptors are free again.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    number = min(SILENT, hard - 500)
    try:
        async with (
            Simulator() as sim,
            running(settings(sim.base_url) | ONCE | MANY) as daemon,
            connected(daemon.address) as caller,
        ):
            assert (await ask(caller, stream=False, deadline_s=10)).answered
            before, rss = daemon.open_files, daemon.rss_bytes
            async with (
                held(daemon.address, number - 100, b"") as silent,
                held(daemon.address, 100, HALF) as half,
            ):
                assert silent + half == number
                assert daemon.rss_bytes - rss < number * 25_000
                for turn in range(20):
                    assert (await ask(caller, stream=turn % 2 == 1, deadline_s=5)).answered
                async with connected(daemon.address) as newcomer:
                    assert (await ask(newcomer, stream=False, deadline_s=10)).answered
            await until(lambda: daemon.open_files <= before + 20)
            assert (await ask(caller, stream=False, deadline_s=10)).answered
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_low_limit_of_descriptors_is_raised() -> None:
    """Started with the usual 1,024, the daemon takes what its connections need, or says so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
    try:
        async with Simulator() as sim:
            few = {"SIDECARD_LISTEN__CONNECTIONS": "2000"}
            async with running(settings(sim.base_url) | few) as daemon:
                assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)[0] == 3_024
            many = {"SIDECARD_LISTEN__CONNECTIONS": str(hard)}
            async with running(settings(sim.base_url) | many) as daemon:
                said = await daemon.logged("few file descriptors", allowed=hard, wanted=hard + 1024)
                assert "ulimit -Hn" in said["why"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
