"""Callers that mean harm, over real sockets: what they send is bounded, and others are served."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.chaos.load import ask
from tests.support import http2
from tests.support.daemon import ONCE, Daemon, running, settings
from tests.support.http2 import GENERATE, message, opened, settled, silent, streams
from tests.support.rpc import Caller, connected
from tests.support.simulator import until

PURGE = "/sidecard.v1.AdminService/PurgeCache"
REQUEST = pb.GenerateRequest(prompt="hi").SerializeToString()
MB = 1 << 20
SHORT = {"SIDECARD_TIMEOUTS__TOTAL_S": "1"}


@contextlib.asynccontextmanager
async def attacked(**bounds: str) -> AsyncIterator[tuple[Daemon, Caller, Simulator]]:
    """Run a daemon with some bounds of `listen`, and see that it answers at the end as before."""
    env = {f"SIDECARD_LISTEN__{name.upper()}": value for name, value in bounds.items()}
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | ONCE | SHORT | env) as daemon,
        connected(daemon.address) as caller,
    ):
        assert (await ask(caller, stream=False, deadline_s=10)).answered
        yield daemon, caller, sim
        assert (await ask(caller, stream=True, deadline_s=10)).answered
        async with connected(daemon.address) as newcomer:
            assert (await ask(newcomer, stream=False, deadline_s=10)).answered


async def test_who_says_nothing_or_half_is_cut() -> None:
    """No preface, a part of it, no settings, or unconfirmed ones: closed when the time is over."""
    half = http2.PREFACE[:9]
    begun = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0)[:5]
    unconfirmed = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0)
    async with attacked(handshake_s="0.3") as (daemon, _, _):
        for said in (b"", half, begun, unconfirmed):
            async with silent(daemon.address) as connection:
                await connection.send(said)
                await connection.closed()


async def test_an_idle_connection_is_closed() -> None:
    """One that has settled and asks nothing goes; clients come back by themselves."""
    async with attacked(idle_s="0.3") as (daemon, _, _), settled(daemon.address) as connection:
        came = await connection.closed()
        assert http2.GOAWAY in [frame.kind for frame in came]


async def test_one_connection_too_many_is_closed_at_once() -> None:
    """Those that are there are served on, and others when one has gone."""
    async with attacked(connections="6") as (daemon, caller, _):
        files = daemon.open_files
        async with contextlib.AsyncExitStack() as held:
            for _ in range(5):  # The caller has the sixth.
                await held.enter_async_context(settled(daemon.address))
            async with silent(daemon.address) as seventh:
                assert await seventh.closed() == []
            assert (await ask(caller, stream=False, deadline_s=5)).answered
        await until(lambda: daemon.open_files <= files)


async def test_streams_too_many_are_reset() -> None:
    """A connection has as many calls as it may; what is beyond is refused, unread."""
    async with attacked(streams="4") as (daemon, _, _), settled(daemon.address) as connection:
        await connection.send(b"".join([opened(stream, GENERATE) for stream in streams(6)]))
        reset = [await connection.until(http2.RST_STREAM) for _ in range(2)]
        assert sorted([frame.stream for frame in reset]) == [9, 11]


async def test_large_headers_are_refused() -> None:
    """64 KiB of metadata: by gRPC, or before that is bound to its limits, by the daemon."""
    large = ("x-large", "y" * 65_536)
    async with attacked() as (daemon, _, _):
        for confirms in (True, False):
            async with settled(daemon.address, confirms=confirms) as connection:
                await connection.send(opened(1, GENERATE, large) + message(1, REQUEST))
                told = await connection.trailers(1)
                said = b"metadata size exceeds" if confirms else b"(listen.header_bytes)"
                assert said in told


async def test_frames_of_no_use_leave_memory_flat() -> None:
    """Frames of an unknown kind, 1.5 GB of them, which HTTP/2 has be ignored."""
    useless = http2.frame(0x77, 0, 0, bytes(100)) * 10_000
    async with attacked() as (daemon, caller, _), settled(daemon.address) as connection:
        before = daemon.rss_bytes
        for _ in range(1_400):
            await connection.send(useless)
        assert daemon.rss_bytes - before < 30 * MB
        assert (await ask(caller, stream=False, deadline_s=5)).answered


async def test_a_head_without_end_leaves_memory_flat() -> None:
    """CONTINUATION frames, 60 MB of them, and none that says that the head is whole."""
    head = opened(1, GENERATE)[9:]
    more = http2.frame(http2.CONTINUATION, 0, 1, http2.header("x-more", "y" * 8_000) * 2)
    async with attacked() as (daemon, caller, _), settled(daemon.address) as connection:
        before = daemon.rss_bytes
        with contextlib.suppress(ConnectionError):
            await connection.send(http2.frame(http2.HEADERS, 0, 1, head))
            for _ in range(60):
                await connection.send(more * 64)
        assert (await ask(caller, stream=False, deadline_s=5)).answered
        assert daemon.rss_bytes - before < 30 * MB


async def test_a_message_that_grows_when_it_is_unpacked_is_refused() -> None:
    """50 MB of nothing in 50 kB: unpacked no further than a message may be long."""
    bomb = gzip.compress(bytes(50 * MB))
    packed = b"\1" + len(bomb).to_bytes(4, "big") + bomb
    parts = [packed[at : at + 16_384] for at in range(0, len(packed), 16_384)]
    sent = b"".join([http2.frame(http2.DATA, 0, 1, part) for part in parts])
    async with (
        attacked(max_message_bytes=str(MB)) as (daemon, _, _),
        settled(daemon.address) as connection,
    ):
        before = daemon.rss_bytes
        await connection.send(opened(1, GENERATE, ("grpc-encoding", "gzip")) + sent)
        assert b"larger than max" in await connection.trailers(1)
        assert daemon.rss_bytes - before < 20 * MB


async def test_a_request_that_drips_is_not_waited_for() -> None:
    """A large message is declared, and doesn't come: its call ends, with a status that says why."""
    async with attacked(body_s="0.3") as (daemon, _, _), settled(daemon.address) as connection:
        await connection.send(opened(1, GENERATE) + message(1, b"x" * 9_000, declared=30 * MB))
        assert b"didn't come in time (listen.body_s)" in await connection.trailers(1)
        await connection.send(opened(3, GENERATE) + http2.frame(http2.DATA, http2.END_STREAM, 3))
        assert b"one message" in await connection.trailers(3)


async def test_no_other_service_waits_longer(tmp_path: Path) -> None:
    """Nor do the health and the operator's: what drips there ends in the same time."""
    paths = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", PURGE)
    bounds = {"body_s": "0.3", "admin_token_file": str(tmp_path / "token")}
    async with attacked(**bounds) as (daemon, _, _):
        for path in paths:
            async with settled(daemon.address) as connection:
                await connection.send(opened(1, path) + message(1, b"x" * 9_000, declared=30 * MB))
                assert b"didn't come in time (listen.body_s)" in await connection.trailers(1)
                await connection.send(opened(3, path) + message(3, b"\xff\xff"))
                assert b"grpc-status" in await connection.trailers(3)


async def test_calls_too_many_are_refused_unread() -> None:
    """Those whose request is still coming count: nobody piles up half of them."""
    async with attacked(calls="3", body_s="1") as (daemon, _, _), settled(daemon.address) as one:
        for stream in streams(4):
            await one.send(opened(stream, GENERATE) + message(stream, b"x", declared=MB))
        assert b"(listen.calls)" in await one.trailers(7)
        assert b"(listen.body_s)" in await one.trailers(5)
        await daemon.logged("calls shed", layer="edge", why="calls")


async def test_a_flood_of_pings_is_cut() -> None:
    """And with it its connection alone."""
    async with attacked() as (daemon, _, _), settled(daemon.address) as connection:
        await connection.send(http2.frame(http2.PING, 0, 0, b"12345678") * 60)
        assert http2.GOAWAY in [frame.kind for frame in await connection.closed()]


async def test_a_flood_of_resets_leaves_memory_flat() -> None:
    """Calls opened and reset at once, 20,000 of them (CVE-2023-44487)."""
    async with attacked() as (daemon, caller, _):
        for _ in range(50):
            await ask(caller, stream=True, deadline_s=5)
        before = daemon.rss_bytes
        async with settled(daemon.address) as connection:
            reader = asyncio.create_task(connection.closed(10))
            for first in range(1, 40_000, 400):
                some = range(first, first + 400, 2)
                await connection.send(b"".join([_reset(stream) for stream in some]))
            connection.abort()
            await reader
        assert daemon.rss_bytes - before < 60 * MB


def _reset(stream: int) -> bytes:
    return opened(stream, GENERATE) + http2.frame(http2.RST_STREAM, 0, stream, http2.CANCEL)


async def test_who_does_not_read_leaves_nothing_behind() -> None:
    """Answers that nobody takes hold memory while their connection lasts, and no longer.

    Their calls end with their time, although there is nobody to tell.
    """
    pace = {"deltas": 200, "delta_bytes": 1_000}
    request = pb.GenerateRequest(prompt="hi", max_tokens=60_000).SerializeToString()
    sizes = []
    async with attacked() as (daemon, _, sim):
        sim.play(Script.of({"fault": "none", "pace": pace}, repeat=True))
        for turn in range(1, 4):
            async with settled(daemon.address, window_bytes=0) as connection:
                for stream in streams(100):
                    await connection.send(opened(stream, http2.STREAM) + message(stream, request))
                await until(lambda: _ended(daemon, "abandoned") == 100 * turn, within_s=30)  # noqa: B023
            sizes.append(daemon.rss_bytes)
        assert sizes[2] - sizes[0] < 15 * MB
        sim.play(Script())


async def test_who_never_reads_is_cut_with_its_connection() -> None:
    """Its calls are over, but can't be told; they count until its connection's age is up."""
    bounds = {"calls": "20", "age_s": "1"}
    async with (
        attacked(**bounds) as (daemon, caller, _),
        settled(daemon.address, window_bytes=0) as connection,
    ):
        for stream in streams(20):
            await connection.send(opened(stream, GENERATE) + message(stream, REQUEST))
        await until(lambda: _ended(daemon, "completed") == 21, within_s=5)
        refused = await ask(caller, stream=False, deadline_s=5)
        assert refused.reason == "OVERLOADED"
        frames = await connection.closed(10)
        assert http2.GOAWAY in [frame.kind for frame in frames]


def _ended(daemon: Daemon, outcome: str) -> int:
    return sum([line.get("outcome") == outcome for line in daemon.lines])
