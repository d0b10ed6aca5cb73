"""The ledger of a daemon that is killed again and again, against the books of who bills it.

`make kills` does so 200 times, and prints what it added up; tests/store/test_ledger_kill.py kills
the ledger alone so often, in every run.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import grpc
import pytest

from sidecard.config.price_list import prices_of
from sidecard.config.schema import Config
from sidecard.core.event import Usage
from sidecard.simulator.books import Entry
from sidecard.simulator.pace import Pace
from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.chaos.load import status
from tests.support.daemon import Daemon, running, settings
from tests.support.rpc import Caller, connected, read

KILLS = int(os.environ.get("SIDECARD_TEST_KILLS", "10"))
CALLERS = 12
MAX_TOKENS = 300
LIMITS = """[
    {"name": "money", "dollars": 1000, "per": "month"},
    {"name": "tokens", "tokens": 1000000000, "per": "month", "tenant": "*"},
    {"name": "calls", "calls": 1000000000, "per": "month", "window": "rolling"}
]"""


class Spent(NamedTuple):
    """By whose account: nano-US-dollars, tokens and attempts."""

    nano_usd: int
    tokens: int
    calls: int


def billed(entries: Iterable[Entry]) -> Spent:
    """Return what the upstream bills for requests."""
    prices = prices_of(Config())
    sums = [0, 0, 0]
    for entry in entries:
        read, written = entry.cache_read_tokens, entry.cache_write_tokens
        usage = Usage(entry.input_tokens, entry.output_tokens, read, written)
        if (cost := prices.cost(entry.model, usage)) is not None:
            tokens = entry.input_tokens + entry.output_tokens + read + written
            sums = [a + b for a, b in zip(sums, (cost, tokens, 1), strict=True)]
    return Spent(*sums)


async def recorded(daemon: Daemon) -> Spent:
    """Return what the ledger says is spent, when nothing is under way."""
    assert await told(daemon, "reserved") == Spent(0, 0, 0)
    return await told(daemon, "spent")


async def told(daemon: Daemon, what: str) -> Spent:
    """Return a sum over all accounts of each budget."""
    accounts: list[dict[str, Any]] = (await status(daemon.admin))["budgets"]["accounts"]
    sums = {"money": 0, "tokens": 0, "calls": 0}
    for account in accounts:
        sums[account["budget"]] += account[what]
    return Spent(sums["money"], sums["tokens"], sums["calls"])


async def most(daemon: Daemon, caller: Caller) -> Spent:
    """Return what one attempt reserves, at most: it is looked at while it runs."""
    call = asyncio.ensure_future(ask(caller, 0))
    found = Spent(0, 0, 0)
    while not found.calls:
        found = await told(daemon, "reserved")
    await call
    return found


def question(number: int) -> pb.GenerateRequest:
    """Return what is asked, by one of three tenants."""
    return pb.GenerateRequest(
        prompt="tell me a story", max_tokens=MAX_TOKENS, tenant=f"tenant-{number % 3}"
    )


async def metrics(daemon: Daemon) -> str:
    """Return the page of metrics."""
    url = f"http://{daemon.admin}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as got:
        return await got.text()


async def ask(caller: Caller, number: int) -> bool:
    """Ask one question; return whether it was answered."""
    request = question(number)
    if number % 2:
        return (await read(caller.StreamGenerate(request, timeout=20))).whole
    try:
        await caller.Generate(request, timeout=20)
    except grpc.aio.AioRpcError:
        return False
    return True


async def keep_asking(caller: Caller, number: int) -> None:
    """Ask, one question after the other, until nobody answers any more."""
    while await ask(caller, number):
        pass


async def leave(caller: Caller, number: int) -> None:
    """Ask for a stream, and leave in its middle."""
    stream = caller.StreamGenerate(question(number), timeout=20)
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for _ in stream:
            stream.cancel()
            break


FAULTS = (
    {"fault": "none"},
    {"fault": "none", "pace": {"first_event_s": 1.0}},
    {"fault": "status", "status": 529},
    {"fault": "truncate", "after_events": 6},
    {"fault": "error", "after_events": 6},
)


async def test_every_attempt_is_in_the_ledger() -> None:
    """Retries, hedges, streams that go on elsewhere, and those that nobody wants any more."""
    chance = random.Random(1)  # noqa: S311
    pace = Pace(first_event_s=0.02, delta_s=0.001)
    async with Simulator(pace=pace) as sim:
        env = settings(sim.base_url) | {
            "SIDECARD_BUDGETS__LIMITS": LIMITS,
            "SIDECARD_UPSTREAM__UNSTREAMED_MAX_TOKENS": "0",
            "SIDECARD_RETRY__BASE_S": "0.01",
            "SIDECARD_RETRY__BUDGET_FLOOR_PER_S": "1000",
            "SIDECARD_BREAKER__MODE": "disabled",
            "SIDECARD_HEDGE__ENABLED": "true",
            "SIDECARD_ROUTES__DEFAULT__CONTINUE_STREAM": "true",
        }
        async with running(env) as daemon, connected(daemon.address) as caller:
            for _ in range(25):  # So that there is a usual time, to hedge beyond.
                await ask(caller, 0)
            sim.play(Script.of(*[chance.choice(FAULTS) for _ in range(150)]))
            for _ in range(5):
                kinds = [ask(caller, n) if n % 3 else leave(caller, n) for n in range(CALLERS)]
                await asyncio.gather(*kinds)
            while (await told(daemon, "reserved")).calls:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.02)
            said, real = await recorded(daemon), billed(sim.books.ended)
            shown = await metrics(daemon)
        print(f"\nbilled   {real}\nrecorded {said}")  # noqa: T201  # what `-s` shows
        assert not sim.books.open
        # One that is given up while it is sent is counted, though the upstream may not see it.
        assert real.calls <= said.calls <= real.calls + 3
        assert said.nano_usd >= real.nano_usd
        assert said.tokens >= real.tokens
        for family in ("retries_total", "hedges_total", "streams_rescued_total"):
            assert f"sidecard_{family}{{" in shown


@pytest.mark.timeout(60 + 4 * KILLS)
async def test_a_ledger_never_says_less_than_was_spent(tmp_path: Path) -> None:
    """Kill -9 at any moment: it says what was billed, and at most what was under way beyond."""
    chance = random.Random(KILLS)  # noqa: S311
    pace = Pace(first_event_s=0.02, delta_s=0.002)
    async with Simulator(pace=pace) as sim:
        env = settings(sim.base_url) | {
            "SIDECARD_DATA_DIR": str(tmp_path),
            "SIDECARD_BUDGETS__LIMITS": LIMITS,
            "SIDECARD_UPSTREAM__UNSTREAMED_MAX_TOKENS": "0",
        }
        left_open = 0
        for _ in range(KILLS):
            async with running(env) as daemon, connected(daemon.address) as caller:
                left_open += (await daemon.logged("ledger opened"))["left_open"]
                tasks = [asyncio.ensure_future(keep_asking(caller, n)) for n in range(CALLERS)]
                await asyncio.sleep(chance.uniform(0.05, 0.45))
                daemon.signal(signal.SIGKILL)
                await daemon.ended()
                await asyncio.gather(*tasks)
        async with running(env) as daemon, connected(daemon.address) as caller:
            left_open += (await daemon.logged("ledger opened"))["left_open"]
            said = await recorded(daemon)
            real = billed([*sim.books.ended, *sim.books.open.values()])
            one = await most(daemon, caller)
        told = f"{KILLS} kills left {left_open} open, each at most {one}"
        print(f"\n{told}\nbilled   {real}\nrecorded {said}")  # noqa: T201  # what `-s` shows
        for ours, theirs, each in zip(said, real, one, strict=True):
            assert theirs <= ours <= theirs + left_open * each, (said, real, one, left_open)
        assert real.calls > KILLS * 3
        assert 0 < left_open <= KILLS * CALLERS
