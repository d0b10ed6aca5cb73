"""The ledger of a daemon that is killed again and again, against the books of who bills it.

`make kills` does so 200 times, and prints what it added up.
"""

import asyncio
import os
import random
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from sidecard.config.price_list import prices_of
from sidecard.config.schema import Config
from sidecard.core.event import Usage
from sidecard.simulator.books import Entry
from sidecard.simulator.pace import Pace
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


async def ask(caller: Caller, number: int) -> bool:
    """Ask one question; return whether it was answered."""
    request = pb.GenerateRequest(
        prompt="tell me a story", max_tokens=MAX_TOKENS, tenant=f"tenant-{number % 3}"
    )
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
