"""What befalls the daemon itself: killed as it starts or reloads, out of descriptors, held up."""

import asyncio
import itertools
import os
import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecard.simulator.pace import Pace
from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.chaos.load import ask, status
from tests.support.daemon import ONCE, Daemon, running, settings, spawn
from tests.support.reloading import metric, write
from tests.support.rpc import connected, read

KILLS = 12
BUDGET = {"limits": [{"name": "calls", "calls": 1_000}]}


async def test_killed_in_a_start_or_a_reload_the_next_start_serves(tmp_path: Path) -> None:
    """Whatever moment it was: answers are there, and the ledger has what was billed."""
    chance = random.Random(KILLS)  # noqa: S311
    file = tmp_path / "sidecard.yaml"
    write(file, budgets=BUDGET)
    async with Simulator() as sim:
        env = settings(sim.base_url) | {
            "SIDECARD_DATA_DIR": str(tmp_path / "data"),
            "SIDECARD_CACHE__ENABLED": "true",
        }
        for turn in range(KILLS):
            starting = await spawn(env, "--config", str(file))
            await asyncio.sleep(chance.uniform(0.05, 0.9))
            starting.kill()
            await starting.communicate()
            async with running(env, "--config", str(file)) as daemon:
                async with connected(daemon.address) as caller:
                    fresh = await ask(caller, stream=False, deadline_s=10, prompt=f"number {turn}")
                    kept = await ask(caller, stream=False, deadline_s=10, prompt="number 0")
                assert f"number {turn}" in fresh.text
                assert "number 0" in kept.text
                [account] = (await status(daemon.admin))["budgets"]["accounts"]
                assert account["spent"] >= sim.books.requests
                write(file, budgets=BUDGET, admission={"in_flight": turn + 1})
                daemon.signal(signal.SIGHUP)
                await asyncio.sleep(chance.uniform(0.0, 0.05))
                daemon.process.kill()


@contextmanager
def no_more_descriptors(daemon: Daemon) -> Iterator[None]:
    """Have the daemon get none but those that it gives back itself."""
    pid = daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH208  # names only
    free = next(number for number in itertools.count() if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def test_without_descriptors_what_runs_goes_on() -> None:
    """Newcomers aren't served until there are some again; nobody who is there is cut.

    Who is there and needs one more connection to the upstream is refused as by a full queue:
    once, and without blame for the target.
    """
    breaker = {"SIDECARD_BREAKER__MINIMUM_CALLS": "1", "SIDECARD_BREAKER__FAILURE_RATE": "0.1"}
    async with (
        Simulator(pace=Pace(delta_s=0.1)) as sim,
        running(settings(sim.base_url) | breaker) as daemon,
        connected(daemon.address) as caller,
    ):
        stream = caller.StreamGenerate(pb.GenerateRequest(prompt="please say a few words"))
        await anext(aiter(stream))
        async with connected(daemon.address) as newcomer:
            with no_more_descriptors(daemon):
                want = await ask(caller, stream=False, deadline_s=10)
                assert (want.reason, want.attempts) == ("OVERLOADED", 1), want
                refused = await ask(newcomer, stream=False, deadline_s=0.5)
                # The last is of one that took a descriptor which came free meanwhile.
                assert refused.reason in {"DEADLINE_EXCEEDED", "UNAVAILABLE", "OVERLOADED"}, refused
                assert (await read(stream)).whole
            answered = await ask(newcomer, stream=False, deadline_s=20)
        assert answered.answered, answered
        assert (await ask(caller, stream=True, deadline_s=10)).answered
        breakers = (await status(daemon.admin))["targets"]
        assert {found["breaker"]["state"] for found in breakers} == {"closed"}
        line = await daemon.logged("call", error="OVERLOADED")
        assert "Too many open files" in line["error_message"]


async def test_a_configuration_that_cannot_be_read_now_is_taken_later(tmp_path: Path) -> None:
    """It came while there was no descriptor to read it with: that is told, and looked at again."""
    file = tmp_path / "sidecard.yaml"
    write(file)
    async with (
        Simulator() as sim,
        running(settings(sim.base_url), "--config", str(file)) as daemon,
    ):
        with no_more_descriptors(daemon):
            write(file, admission={"in_flight": 7})
            told = await daemon.logged("configuration refused; the one before stays in force")
            assert "Too many open files" in told["mistakes"][0]
        await daemon.logged("configuration reloaded", why="the file changed")
        assert (await status(daemon.admin))["admission"]["shared"]["limit"] == 7


async def test_a_loop_that_is_held_up_is_seen_and_deadlines_end_calls() -> None:
    """Two seconds of nothing are in a metric, and calls whose time ran out meanwhile end."""
    env = {"SIDECARD_TIMEOUTS__TOTAL_S": "1.5"}
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | ONCE | env) as daemon,
        connected(daemon.address) as caller,
    ):
        assert (await ask(caller, stream=False, deadline_s=10)).answered
        sim.play(Script.of({"fault": "blackhole", "for_s": 60}))
        waiting = asyncio.ensure_future(ask(caller, stream=False, deadline_s=30))
        await asyncio.sleep(0.2)
        daemon.signal(signal.SIGSTOP)
        await asyncio.sleep(2)
        daemon.signal(signal.SIGCONT)
        ended = await waiting
        assert ended.reason == "DEADLINE_EXCEEDED"
        assert ended.ended - ended.began < 10
        assert await metric(daemon, "sidecard_event_loop_lag_seconds_sum") >= 1.5
        assert (await status(daemon.admin))["admission"]["shared"]["in_flight"] == 0
        sim.play(Script.of())
        assert (await ask(caller, stream=True, deadline_s=10)).answered


async def test_with_little_memory_left_what_runs_goes_on() -> None:
    """Newcomers are refused, unread, until others have ended and given theirs back."""
    large = pb.GenerateRequest(prompt="please say a few words " + "x" * 20_000_000)
    async with (
        Simulator(pace=Pace(delta_s=0.1)) as sim,
        running(settings(sim.base_url) | ONCE) as idle,
        connected(idle.address) as first,
    ):
        assert (await ask(first, stream=True, deadline_s=10)).answered
        most = idle.private_bytes + 30_000_000
        env = settings(sim.base_url) | ONCE | {"SIDECARD_LISTEN__MAX_MEMORY_BYTES": str(most)}
        async with running(env) as daemon, connected(daemon.address) as caller:
            stream = caller.StreamGenerate(pb.GenerateRequest(prompt="please say a few words"))
            await anext(aiter(stream))
            sim.play(Script.of({"fault": "blackhole", "for_s": 60, "times": 2}))
            holds = [asyncio.ensure_future(caller.Generate(large)) for _ in range(2)]
            async with asyncio.timeout(20):
                while daemon.private_bytes < most:  # noqa: ASYNC110  # another process
                    await asyncio.sleep(0.02)
            refused = await ask(caller, stream=False, deadline_s=10)
            assert (refused.reason, refused.attempts) == ("OVERLOADED", 0), refused
            await daemon.logged("memory is short")
            await daemon.logged("calls shed", layer="edge", why="memory")
            shed = 'sidecard_shed_total{layer="edge",route="",why="memory"}'
            assert await metric(daemon, shed) >= 1
            assert (await read(stream)).whole
            for hold in holds:
                hold.cancel()
            await asyncio.wait(holds)
            sim.play(Script.of())
            async with asyncio.timeout(20):
                while not (answer := await ask(caller, stream=False, deadline_s=10)).answered:
                    assert answer.reason == "OVERLOADED"
                    await asyncio.sleep(0.1)
