"""What a daemon has learned and counted outlives a change of its configuration."""

import asyncio
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from sidecard.core.ledger import Used
from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.store.ledger_desk import Batch, UsageKey
from sidecard.store.ledger_file import LedgerFile
from sidecard.v1 import generation_pb2 as pb
from tests.support.reloading import reloaded, served, shows, write
from tests.support.rpc import fails, read

if TYPE_CHECKING:
    import grpc

Stream: TypeAlias = "grpc.aio.UnaryStreamCall[Any, pb.StreamGenerateResponse]"

ASK = pb.GenerateRequest(prompt="please say something that takes a few words to say")
SLOW = Script.of({"fault": "none", "pace": {"delta_s": 0.03}, "times": "always"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sidecard.yaml"
    write(path)
    return path


async def test_what_was_spent_stays_spent(file: Path, tmp_path: Path) -> None:
    """A budget goes on over reloads that change its limit, and outlives them on disk."""

    def budgets(calls: int) -> dict[str, object]:
        return {"limits": [{"name": "all", "calls": calls, "per": "month"}]}

    env = {"SIDECARD_DATA_DIR": str(tmp_path / "data")}
    async with Simulator() as sim:
        async with served(sim, file, **env) as (daemon, caller):
            write(file, budgets=budgets(2))
            await reloaded(daemon)
            for _ in range(2):
                await caller.Generate(ASK)
            assert (await fails(caller.Generate(ASK))).reason == "BUDGET_EXHAUSTED"
            write(file, budgets=budgets(3))
            await reloaded(daemon)
            await caller.Generate(ASK)
            write(file)
            await reloaded(daemon)
            await caller.Generate(ASK)
            write(file, budgets=budgets(3))
            await reloaded(daemon)
            assert (await fails(caller.Generate(ASK))).reason == "BUDGET_EXHAUSTED"
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0
        async with served(sim, file, **env) as (daemon, caller):
            assert (await fails(caller.Generate(ASK))).reason == "BUDGET_EXHAUSTED"


async def test_an_open_breaker_stays_open(file: Path) -> None:
    """What was learned of a target isn't forgotten because something else is configured."""
    breaker = {"minimum_calls": 2, "open_s": 50}
    write(file, breaker=breaker, retry={"max_attempts": 1})
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        sim.play(Script.of({"fault": "status", "status": 500, "times": "always"}))
        for _ in range(2):
            await fails(caller.Generate(ASK))
        assert (await fails(caller.Generate(ASK))).reason == "BREAKER_OPEN"
        write(file, breaker=breaker, retry={"max_attempts": 1}, admission={"in_flight": 9})
        await reloaded(daemon)
        assert (await fails(caller.Generate(ASK))).reason == "BREAKER_OPEN"
        write(file, breaker={"mode": "disabled"}, retry={"max_attempts": 1})
        await reloaded(daemon)
        assert (await fails(caller.Generate(ASK))).reason == "UPSTREAM_UNAVAILABLE"


async def test_places_are_counted_over_reloads(file: Path) -> None:
    """Who holds a permit of before counts now, and who waited gets in when there are more."""
    write(file, admission={"in_flight": 1, "queue": 5})
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        sim.play(SLOW)
        first = caller.StreamGenerate(ASK)
        await anext(aiter(first))
        waits = asyncio.ensure_future(caller.Generate(ASK))
        await shows(daemon, lambda found: found["admission"]["shared"]["interactive"] == 1)
        write(file, admission={"in_flight": 1, "queue": 1})
        await reloaded(daemon)
        assert (await fails(caller.Generate(ASK))).reason == "OVERLOADED"
        write(file, admission={"in_flight": 2})
        found = await reloaded(daemon)
        assert found["admission"]["shared"]["in_flight"] == 2
        assert (await read(first)).whole
        assert (await waits).text


async def test_a_price_that_changes_holds_for_new_calls(file: Path) -> None:
    """A call that runs costs what it did when it was made, in its answer and in the budget."""

    def priced(output: int) -> dict[str, object]:
        price = {"input": 0, "output": output}
        return {
            "prices": {"models": {"claude-sonnet-5-5": price}},
            "budgets": {"limits": [{"name": "all", "dollars": 100}]},
        }

    write(file, **priced(1))
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        sim.play(SLOW)
        runs = caller.StreamGenerate(ASK)
        await anext(aiter(runs))
        write(file, **priced(1_000))
        await reloaded(daemon)
        after = (await read(caller.StreamGenerate(ASK))).messages[-1].response
        before = (await read(runs)).messages[-1].response
        assert before.cost_nano_usd == before.usage.output_tokens * 1_000 > 0
        assert after.cost_nano_usd == after.usage.output_tokens * 1_000_000 > 0
        [account] = (await shows(daemon, lambda found: found["budgets"]["open"] == 0))["budgets"][
            "accounts"
        ]
        assert account["spent"] == before.cost_nano_usd + after.cost_nano_usd


async def test_the_first_budgets_wait_for_a_ledger_that_is_being_opened(
    file: Path, tmp_path: Path
) -> None:
    """As at a start: nobody is refused because a large file takes its time."""
    batch, hour = Batch(), int(time.time()) // 3600
    for number in range(100_000):
        whose = f"tenant-{number}", "default", "claude"
        batch.used[UsageKey(hour - number // 5_000, *whose)] = Used(*whose)
    folder = tmp_path / "data" / "ledger"
    folder.mkdir(parents=True)
    ledger = LedgerFile(folder)
    ledger.commit(batch)
    ledger.close()
    env = {"SIDECARD_DATA_DIR": str(folder.parent)}
    async with Simulator() as sim, served(sim, file, **env) as (daemon, caller):
        write(file, budgets={"limits": [{"name": "all", "calls": 9}]})
        await reloaded(daemon)
        assert (await caller.Generate(ASK)).source == pb.SOURCE_UPSTREAM


async def test_a_budget_that_goes_and_comes_back_has_what_was_under_way(file: Path) -> None:
    """What a call reserved in it is settled in it, though it was away when the call ended."""
    limits = {"limits": [{"name": "all", "calls": 1}]}
    write(file, budgets=limits)
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        sim.play(SLOW)
        runs = caller.StreamGenerate(ASK)
        await anext(aiter(runs))
        write(file, budgets={"limits": [{"name": "renamed", "calls": 9}]})
        await reloaded(daemon)
        assert (await read(runs)).whole
        write(file, budgets=limits)
        found = await reloaded(daemon)
        [account] = found["budgets"]["accounts"]
        assert (account["spent"], account["reserved"]) == (1, 0)
        assert (await fails(caller.Generate(ASK))).reason == "BUDGET_EXHAUSTED"


async def test_what_was_sent_counts_under_new_limits(file: Path) -> None:
    """A reload gives a target no second minute, and whoever waits for it keeps its place."""
    limits = {"requests_per_minute": 3, "max_wait_s": 0.01}
    write(file, limits=limits)
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        for _ in range(3):
            await caller.Generate(ASK)
        assert (await fails(caller.Generate(ASK))).reason == "RATE_LIMITED"
        write(file, limits={**limits, "input_tokens_per_minute": 1_000_000})
        found = await reloaded(daemon)
        assert found["targets"][0]["limits"]["requests"]["room"] < 1
        assert (await fails(caller.Generate(ASK))).reason == "RATE_LIMITED"
        write(file, limits={**limits, "max_wait_s": 60})
        await reloaded(daemon)
        waits = asyncio.ensure_future(caller.Generate(ASK, timeout=50))
        await shows(daemon, lambda found: found["admission"]["shared"]["in_flight"] == 1)
        write(file, limits={"requests_per_minute": 6_000, "max_wait_s": 60})
        await reloaded(daemon)
        assert (await asyncio.wait_for(waits, 10)).text
        assert sim.books.requests == 4


async def test_the_log_level_changes_while_a_call_runs(file: Path) -> None:
    """It holds from the reload on, for whatever ends then, and changes back."""
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        sim.play(SLOW)

        async def begun(request_id: str) -> Stream:
            stream = caller.StreamGenerate(ASK, metadata=(("x-request-id", request_id),))
            await anext(aiter(stream))
            return stream

        quiet = await begun("quiet")
        write(file, log={"level": "error"})
        await reloaded(daemon)
        assert (await read(quiet)).whole
        told = await begun("told")
        write(file, log={"level": "info"})
        await reloaded(daemon)
        assert (await read(told)).whole
        await daemon.logged("call", request_id="told", outcome="completed")
        assert not [line for line in daemon.lines if line.get("request_id") == "quiet"]
