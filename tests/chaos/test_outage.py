"""Outages under steady load: bounded load on the upstream, an end for each call, and recovery.

Times are a tenth of an operator's: an outage of 6 s stands for a minute,
a breaker that opens for 1 s for one that opens for 10.
"""

import asyncio
import time

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.chaos.load import PROMPT, Sample, ask, between, hold, status, steady, tally
from tests.support.daemon import Daemon, running, settings
from tests.support.rpc import connected
from tests.support.simulator import until

OPEN_S = 1.0
JITTER = 1.1
OUTAGE_S = 6.0
PER_S = 30.0
DEADLINE_S = 2.0

FAST = {
    "SIDECARD_BREAKER__WINDOW_S": "3",
    "SIDECARD_BREAKER__OPEN_S": str(OPEN_S),
    "SIDECARD_BREAKER__OPEN_GROWTH": "1",
    "SIDECARD_BREAKER__MAX_OPEN_S": str(OPEN_S),
    "SIDECARD_RETRY__BASE_S": "0.05",
    "SIDECARD_RETRY__MAX_DELAY_S": "0.4",
    "SIDECARD_TIMEOUTS__FIRST_EVENT_S": "0.5",
    "SIDECARD_TIMEOUTS__IDLE_S": "0.5",
}


async def nothing_left(daemon: Daemon, sim: Simulator, tasks: int) -> None:
    """Assert that permits, waiters, connections and tasks are back, as the daemon tells it."""
    await until(lambda: not sim.books.open)
    async with asyncio.timeout(5):
        while (told := await status(daemon.admin))["tasks"] > tasks:  # noqa: ASYNC110  # asked
            await asyncio.sleep(0.05)
    shared = told["admission"]["shared"]
    assert (shared["in_flight"], shared["interactive"], shared["batch"]) == (0, 0, 0)
    assert sum(target["limits"]["in_flight"] for target in told["targets"]) == 0


def recovered_s(samples: list[Sample], back: float, target: str) -> float:
    """Return how long after that moment the first call began that the target answered."""
    good = [s.began for s in samples if s.answered and s.target == target and s.ended > back]
    assert good, tally(samples)
    return min(good) - back


async def test_an_outage_of_every_target() -> None:
    """Six seconds of 529: the upstream gets at most 1.2 calls for each, and soon answers again.

    Recovery takes at most one open time, and the time to the next call.
    """
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | FAST) as daemon,
        connected(daemon.address) as caller,
    ):
        good = await ask(caller, stream=False, deadline_s=10)
        tasks = (await status(daemon.admin))["tasks"]
        await steady(caller, per_s=PER_S, for_s=1, deadline_s=DEADLINE_S)
        asked_before = sim.books.requests
        began = time.monotonic()
        sim.play(Script.of({"fault": "status", "status": 529, "for_s": OUTAGE_S}))
        samples = await steady(caller, per_s=PER_S, for_s=OUTAGE_S, deadline_s=DEADLINE_S)
        asked = sim.books.requests - asked_before
        back = max(began + OUTAGE_S, time.monotonic())
        samples += await steady(caller, per_s=PER_S, for_s=3 * OPEN_S, deadline_s=DEADLINE_S)
        hold(samples, texts={good.text})
        during = between(samples, began, began + OUTAGE_S)
        assert asked <= 1.2 * len(during), (asked, tally(during))
        assert not any(sample.answered for sample in during[3:-3]), tally(during)
        assert recovered_s(samples, back, "claude-sonnet-5-5") <= OPEN_S * JITTER + 0.2
        late = between(samples, back + 2 * OPEN_S * JITTER, back + 9)
        assert all(sample.answered and not sample.degraded for sample in late), tally(late)
        await nothing_left(daemon, sim, tasks)


async def test_an_outage_of_the_first_target() -> None:
    """While the first model is down, the cheaper one answers every call, marked as degraded."""
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | FAST) as daemon,
        connected(daemon.address) as caller,
    ):
        good = await ask(caller, stream=False, deadline_s=10)
        tasks = (await status(daemon.admin))["tasks"]
        down = {"fault": "status", "status": 529, "for_s": OUTAGE_S}
        sim.play(Script.of({**down, "match": {"model": "claude-sonnet-*"}}))
        samples = await steady(caller, per_s=PER_S, for_s=OUTAGE_S - 1, deadline_s=DEADLINE_S)
        hold(samples, texts={good.text})
        assert all(sample.answered for sample in samples), tally(samples)
        assert {sample.target for sample in samples} == {"claude-haiku-5-5"}
        assert all(sample.degraded for sample in samples)
        opened = await daemon.logged("breaker", target="claude-sonnet-5-5", after="open")
        assert opened["level"] == "warning"
        told = (await status(daemon.admin))["targets"]
        [target] = [one for one in told if one["target"] == "claude-sonnet-5-5"]
        assert target["breaker"]["state"] in {"open", "half_open"}
        await nothing_left(daemon, sim, tasks)


async def test_a_storm_of_429() -> None:
    """A 429's retry-after holds back every call to that target, and the other one serves them."""
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | FAST) as daemon,
        connected(daemon.address) as caller,
    ):
        good = await ask(caller, stream=False, deadline_s=10)
        tasks = (await status(daemon.admin))["tasks"]
        storm = {"fault": "status", "status": 429, "headers": {"retry-after": "30"}}
        sim.play(Script.of({**storm, "for_s": 3, "match": {"model": "claude-sonnet-*"}}))
        samples = await steady(caller, per_s=PER_S, for_s=2.5, deadline_s=DEADLINE_S)
        hold(samples, texts={good.text})
        assert all(sample.answered for sample in samples), tally(samples)
        assert {sample.target for sample in samples} == {"claude-haiku-5-5"}
        refused = [entry for entry in sim.books.ended if entry.status == 429]
        assert len(refused) <= 3, "only those already under way when the first 429 came"
        await nothing_left(daemon, sim, tasks)


async def test_a_storm_of_429_without_another_target() -> None:
    """Where there is no other target, a wait that no deadline affords is refused at once."""
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | FAST) as daemon,
        connected(daemon.address) as caller,
    ):
        good = await ask(caller, stream=False, deadline_s=10, model="claude-opus-5-5")
        tasks = (await status(daemon.admin))["tasks"]
        storm = {"fault": "status", "status": 429, "headers": {"retry-after": "30"}}
        sim.play(Script.of({**storm, "for_s": 3}))
        samples = await steady(
            caller, per_s=PER_S, for_s=2, deadline_s=DEADLINE_S, model="claude-opus-5-5"
        )
        hold(samples, texts={good.text})
        assert set(tally(samples)) <= {"UPSTREAM_THROTTLED", "RATE_LIMITED"}, tally(samples)
        assert all(sample.ended - sample.began < DEADLINE_S / 2 for sample in samples)
        await nothing_left(daemon, sim, tasks)


async def test_a_slow_drip() -> None:
    """Answers that drip below the idle timeout end at the deadline; what is whole is told whole."""
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | FAST) as daemon,
        connected(daemon.address) as caller,
    ):
        good = await ask(caller, stream=False, deadline_s=10)
        tasks = (await status(daemon.admin))["tasks"]
        sim.play(Script.of({"fault": "drip", "bytes_per_s": 10, "for_s": 2.0}))
        samples = await steady(caller, per_s=20, for_s=2, deadline_s=1.0)
        hold(samples, texts={good.text})
        assert not any(sample.answered for sample in samples[:10]), tally(samples)
        await nothing_left(daemon, sim, tasks)


async def test_a_blackhole_opens_the_breaker() -> None:
    """Callers whose deadlines are shorter than the timeouts don't all wait for a dead target."""
    patient = FAST | {"SIDECARD_TIMEOUTS__FIRST_EVENT_S": "30", "SIDECARD_BREAKER__SLOW_S": "0.3"}
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | patient) as daemon,
        connected(daemon.address) as caller,
    ):
        good = await ask(caller, stream=False, deadline_s=10)
        tasks = (await status(daemon.admin))["tasks"]
        hole = {"fault": "blackhole", "for_s": 30, "match": {"model": "claude-sonnet-*"}}
        sim.play(Script.of(hole))
        samples = await steady(caller, per_s=PER_S, for_s=3, deadline_s=0.6)
        hold(samples, texts={good.text})
        answered = [sample for sample in samples if sample.answered]
        assert {sample.target for sample in answered} == {"claude-haiku-5-5"}
        assert len(answered) > len(samples) / 3, tally(samples)
        sim.play(Script.of())
        await nothing_left(daemon, sim, tasks)


def test_the_prompt_is_no_fault() -> None:
    """The load's prompt has to be one that the simulator answers with text of some length."""
    assert len(PROMPT.split()) > 5
