"""A disk that fails under the daemon: calls are answered without what is on it, which is told."""

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.chaos.load import status
from tests.support.daemon import Daemon, running, settings
from tests.support.reloading import metric
from tests.support.rpc import Caller, connected, fails
from tests.support.small_disk import failing_disk, remounted, small_disk

HIT, UPSTREAM = pb.SOURCE_CACHE_EXACT, pb.SOURCE_UPSTREAM
LONG = "a long answer; " * 4_000


@asynccontextmanager
async def served(
    sim: Simulator, folder: Path, more: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Daemon, Caller]]:
    """Run a daemon that keeps answers in a folder."""
    env = settings(sim.base_url) | {
        "SIDECARD_CACHE__ENABLED": "true",
        "SIDECARD_DATA_DIR": str(folder),
        **(more or {}),
    }
    async with running(env) as daemon, connected(daemon.address) as caller:
        yield daemon, caller


async def source(caller: Caller, prompt: str) -> pb.Source:
    """Return where the answer to a question is from."""
    return (await caller.Generate(pb.GenerateRequest(prompt=prompt))).source


async def writes(daemon: Daemon) -> bool:
    """Wait until what was asked for is written, or dropped; return whether the store can write."""
    while (cache := (await status(daemon.admin))["cache"])["queued"]:  # noqa: ASYNC110  # as below
        await asyncio.sleep(0.02)
    return not cache["why"]


async def logged_twice(daemon: Daemon, event: str) -> None:
    """Wait for a second line of that event."""
    async with asyncio.timeout(20):
        while sum(line.get("event") == event for line in daemon.lines) < 2:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.02)


async def test_a_disk_that_fills_costs_new_answers_alone(tmp_path: Path) -> None:
    """Every call is answered, also from what was kept; with room, new answers are kept again."""
    with small_disk(tmp_path / "data") as folder:
        ballast = folder / "ballast"
        async with Simulator() as sim, served(sim, folder) as (daemon, caller):
            await daemon.logged("cache opened")
            assert await source(caller, "before") is UPSTREAM
            assert await writes(daemon)
            sim.play(Script.of({"fault": "say", "text": LONG, "times": "always"}))
            with ballast.open("wb", buffering=0) as file:
                while True:
                    try:
                        file.write(bytes(4_096))
                    except OSError:
                        break
            number = 0
            while await writes(daemon):
                number += 1
                assert await source(caller, f"full {number}") is UPSTREAM
            line = await daemon.logged("cache out")
            assert "bytes are free" in line["why"]
            assert await metric(daemon, "sidecard_cache_available") == 0
            assert await source(caller, "before") is HIT
            ballast.unlink()
            sim.play(Script.of())
            async with asyncio.timeout(20):
                while not await writes(daemon):
                    await source(caller, f"room {number}")
                    await asyncio.sleep(0.5)
                    number += 1
            assert await source(caller, f"room {number - 1}") is HIT
            assert await metric(daemon, "sidecard_cache_available") == 1


async def test_a_disk_that_is_read_only_at_the_start_is_served_without(tmp_path: Path) -> None:
    """Nothing can be made on it, and calls are answered; later it is taken into use."""
    with small_disk(tmp_path / "data") as folder:
        remounted(folder, "ro")
        try:
            async with Simulator() as sim, served(sim, folder) as (daemon, caller):
                assert "Read-only" in (await daemon.logged("cache out"))["why"]
                assert await source(caller, "before") is UPSTREAM
                assert await metric(daemon, "sidecard_cache_available") == 0
                remounted(folder, "rw")
                await daemon.logged("cache opened")
                assert await source(caller, "after") is UPSTREAM
                assert await source(caller, "after") is HIT
        finally:
            remounted(folder, "rw")


async def test_a_disk_that_turns_read_only_under_the_daemon(tmp_path: Path) -> None:
    """As a file system does that met an error.

    What was kept is served, and nothing new is kept; what a budget counts is refused with the
    reason; other calls are answered, and the daemon ends as ever.
    """
    limit = [{"name": "acme", "tenant": "acme", "calls": 100}]
    budget = {"SIDECARD_BUDGETS__LIMITS": json.dumps(limit)}
    with failing_disk(tmp_path / "data", tmp_path / "image") as fail:
        async with Simulator() as sim, served(sim, tmp_path / "data", budget) as (daemon, caller):
            await daemon.logged("cache opened")
            await daemon.logged("ledger opened")
            paid = pb.GenerateRequest(prompt="paid for", tenant="acme")
            assert (await caller.Generate(paid)).source is UPSTREAM
            assert await source(caller, "before") is UPSTREAM
            assert await writes(daemon)
            fail()
            assert await source(caller, "before") is HIT
            assert (await caller.Generate(paid)).source is HIT
            assert await source(caller, "after") is UPSTREAM
            assert "Read-only file system" in (await daemon.logged("cache out"))["why"]
            paid.prompt = "to be paid"
            told = await fails(caller.Generate(paid))
            assert told.reason == "BUDGET_EXHAUSTED"
            assert "Read-only file system" in told.message
            assert "Read-only file system" in (await daemon.logged("ledger out"))["why"]
            for number in range(20):
                assert await source(caller, f"still there {number}") is UPSTREAM
            assert await source(caller, "before") is HIT
            assert await metric(daemon, "sidecard_cache_available") == 0
            assert await metric(daemon, "sidecard_ledger_available") == 0
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0


async def test_a_folder_removed_under_the_daemon_is_made_anew(tmp_path: Path) -> None:
    """What was kept is asked again, nothing fails, and the new answers outlive a restart."""
    async with Simulator() as sim:
        async with served(sim, tmp_path) as (daemon, caller):
            await daemon.logged("cache opened")
            assert await source(caller, "before") is UPSTREAM
            assert await writes(daemon)
            shutil.rmtree(tmp_path / "cache")
            line = await daemon.logged("cache out")
            assert line["why"] == "its file was removed"
            await logged_twice(daemon, "cache opened")
            assert await source(caller, "before") is UPSTREAM
            assert await writes(daemon)
        async with served(sim, tmp_path) as (daemon, caller):
            await daemon.logged("cache opened")
            assert await source(caller, "before") is HIT


async def test_a_file_cut_under_the_daemon_costs_answers_alone(tmp_path: Path) -> None:
    """Reading on would kill it: it answers from the upstream, and keeps answers again."""
    async with Simulator() as sim, served(sim, tmp_path) as (daemon, caller):
        await daemon.logged("cache opened")
        prompts = [f"question {number}" for number in range(20)]
        for prompt in prompts:
            await source(caller, prompt)
        assert await writes(daemon)
        with (tmp_path / "cache/data.mdb").open("rb+") as file:
            file.truncate(6_000)
        assert {await source(caller, prompt) for prompt in prompts} == {UPSTREAM}
        await daemon.logged("cache out", why="its file was cut short")
        await logged_twice(daemon, "cache opened")
        assert await source(caller, "after") is UPSTREAM
        assert await source(caller, "after") is HIT
