"""What befalls the daemon itself: killed as it starts or reloads, out of descriptors, held up."""

import asyncio
import random
import resource
import signal
from pathlib import Path

from sidecard.simulator.pace import Pace
from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.chaos.load import ask, status
from tests.support.daemon import ONCE, running, settings, spawn
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


async def test_without_descriptors_what_runs_goes_on() -> None:
    """Newcomers aren't served until there are some again; nobody who is there is cut."""
    async with (
        Simulator(pace=Pace(delta_s=0.2)) as sim,
        running(settings(sim.base_url) | ONCE) as daemon,
        connected(daemon.address) as caller,
    ):
        stream = caller.StreamGenerate(pb.GenerateRequest(prompt="please say a few words"))
        await anext(aiter(stream))
        pid = daemon.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (daemon.open_files, before[1]))
        async with connected(daemon.address) as newcomer:
            refused = await ask(newcomer, stream=False, deadline_s=0.5)
            assert refused.reason in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}, refused
            assert (await read(stream)).whole
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            answered = await ask(newcomer, stream=False, deadline_s=20)
        assert answered.answered, answered
        assert (await ask(caller, stream=True, deadline_s=10)).answered


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
