"""Budgets in the real daemon: what callers are told, what operators see, and what stays."""

import asyncio
import csv
import io
import json
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.command import sidecard
from tests.support.daemon import Daemon, environment, running, settings
from tests.support.reloading import metric
from tests.support.rpc import Caller, connected, fails, read

ASK = pb.GenerateRequest(prompt="hello", max_tokens=100, tenant="acme")


@asynccontextmanager
async def served(
    sim: Simulator,
    *limits: Mapping[str, object],
    folder: Path | None = None,
    **more: str,
) -> AsyncIterator[tuple[Daemon, Caller]]:
    """Run a daemon with these budgets, on disk if there is a folder."""
    env = settings(sim.base_url) | {"SIDECARD_BUDGETS__LIMITS": json.dumps(limits)}
    env |= {"SIDECARD_RETRY__MAX_ATTEMPTS": "1"}
    if folder is not None:
        env["SIDECARD_DATA_DIR"] = str(folder)
    env |= {f"SIDECARD_{name.upper()}": value for name, value in more.items()}
    async with running(env) as daemon, connected(daemon.address) as caller:
        yield daemon, caller


async def used(daemon: Daemon) -> list[str]:
    """Return how many attempts are in the record of use, and how many of them are guessed."""
    _, out, _ = await command(daemon, "usage", "--csv")
    return out.splitlines()[1].split(",")[:2]


async def command(daemon: Daemon, *arguments: str) -> tuple[int, str, str]:
    """Run a command against the daemon; return its exit status and what it printed."""
    return await sidecard(*arguments, "--admin", daemon.admin)


async def accounts(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """Return how the budgets stand, by name and whose."""
    status, out, _ = await command(daemon, "budget", "--json")
    assert status == 0
    found = json.loads(out)["accounts"]
    return {" ".join([account["budget"], *account["of"]]): account for account in found}


async def test_a_hundred_at_once_against_a_budget_for_ten() -> None:
    """Ten calls are made, ninety are told which budget has no room, and when it will."""
    async with (
        Simulator() as sim,
        served(sim, {"name": "ten", "calls": 10, "per": "day"}) as (daemon, caller),
    ):
        asked = [caller.Generate(ASK) for _ in range(100)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert len([one for one in found if isinstance(one, pb.GenerateResponse)]) == 10
        assert sim.books.requests == 10
        told = await fails(caller.Generate(ASK))
        assert (told.code, told.reason) == ("RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED")
        assert told.message.startswith("ten: there is no room for an attempt at claude-")
        assert told.retry_after_s is not None
        assert 0 < told.retry_after_s <= 86_400
        crossed = await daemon.logged("budget crossed", percent=100)
        assert (crossed["budget"], crossed["spent"]) == ("ten", "10 calls")
        refused = await daemon.logged("budget refuses")
        assert (refused["budget"], refused["tenant"]) == ("ten", "acme")
        account = (await accounts(daemon))["ten"]
        assert (account["spent"], account["reserved"], account["left"]) == (10, 0, 0)


async def test_the_answer_says_what_the_ledger_does() -> None:
    """What an answer costs is what its budget, the record of use and the metrics have."""
    limits: list[dict[str, object]] = [
        {"name": "all", "dollars": 100, "zone": "Europe/Berlin"},
        {"name": "each", "tokens": 1_000_000, "tenant": "*", "window": "rolling", "per": "hour"},
    ]
    async with Simulator() as sim, served(sim, *limits) as (daemon, caller):
        cost = tokens = 0
        for tenant in ("acme", "acme", "zeta"):
            answer = await caller.Generate(pb.GenerateRequest(prompt="hi", tenant=tenant))
            cost += answer.cost_nano_usd
            tokens += answer.usage.input_tokens + answer.usage.output_tokens
        found = await accounts(daemon)
        assert found["all"]["spent"] == cost > 0
        assert found["each acme"]["spent"] + found["each zeta"]["spent"] == tokens
        _, out, _ = await command(daemon, "budget")
        head, money, *_ = [" ".join(line.split()) for line in out.splitlines()]
        assert head == "BUDGET OF WINDOW LIMIT SPENT RESERVED LEFT USED RESETS BEYOND"
        assert money.startswith(
            f"all everything calendar month, Europe/Berlin $100.0000 ${cost / 1e9:,.4f}"
        )
        status, out, err = await command(daemon, "usage", "--by", "tenant,model", "--csv")
        assert (status, err) == (0, "")
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [(row["tenant"], row["calls"]) for row in rows] == [("acme", "2"), ("zeta", "1")]
        assert sum([round(float(row["cost_usd"]) * 1e9) for row in rows]) == cost
        _, out, _ = await command(daemon, "usage", "--since", "7d")
        period, heads, sums = out.splitlines()
        assert re.fullmatch(r"since \d{4}-\d\d-\d\d \d\d:\d\d \S+", period)
        assert (heads.split()[0], sums.split()[0]) == ("ATTEMPTS", "3")


async def test_a_call_has_a_limit_of_its_own() -> None:
    """`max_cost_nano_usd` holds without any budget, and costs nothing where it is refused."""
    async with Simulator() as sim, served(sim) as (daemon, caller):
        request = pb.GenerateRequest(prompt="hello", max_tokens=1_000, max_cost_nano_usd=1_000)
        told = await fails(caller.Generate(request))
        assert (told.reason, sim.books.requests) == ("BUDGET_EXHAUSTED", 0)
        assert "max_cost_nano_usd" in told.message
        answer = await caller.Generate(
            pb.GenerateRequest(prompt="hello", max_tokens=100, max_cost_nano_usd=10**9)
        )
        assert 0 < answer.cost_nano_usd <= 10**9
        assert await used(daemon) == ["1", "0"]
        _, out, _ = await command(daemon, "budget")
        assert out.startswith("no budget counts anything yet")


async def test_a_cheaper_target_steps_in() -> None:
    """Where the first target's worst case doesn't fit, the next one's may, and it says so."""
    prices = '{"dear": {"input": 100, "output": 500}, "cheap": {"input": 1, "output": 5}}'
    limit = {"name": "pot", "dollars": "0.02", "beyond": "step_down"}
    async with (
        Simulator() as sim,
        served(
            sim,
            limit,
            routes__default__targets='[{"model": "dear"}, {"model": "cheap"}]',
            prices__models=prices,
        ) as (_, caller),
    ):
        answer = await caller.Generate(ASK)
        assert (answer.target, answer.degraded) == ("cheap", True)
        assert [(tried.target, tried.error) for tried in answer.attempts] == [
            ("dear", "BUDGET_EXHAUSTED"),
            ("cheap", ""),
        ]


async def test_what_the_upstream_does_not_bill_costs_nothing() -> None:
    """A 529 gives all of its reservation back; a stream that breaks costs the worst case."""
    async with Simulator() as sim, served(sim, {"name": "all", "calls": 100}) as (daemon, caller):
        sim.play(Script.of({"fault": "status", "status": 529}, {"fault": "truncate"}))
        request = pb.GenerateRequest(model="claude-haiku-4-5", prompt="hello")
        for spent in (0, 1):
            with pytest.raises(grpc.aio.AioRpcError):
                await caller.Generate(request)
            assert (await accounts(daemon))["all"]["spent"] == spent


async def test_a_stream_that_breaks_costs_its_input_and_all_that_it_may_have_written() -> None:
    """What it read is told at its beginning, and is less than what was reserved for it."""
    prices = '{"claude-*": {"input": 1, "output": 10}}'
    limits = {"name": "all", "dollars": 1}, {"name": "tokens", "tokens": 100_000}
    async with (
        Simulator() as sim,
        served(sim, *limits, prices__models=prices) as (daemon, caller),
    ):
        sim.play(Script.of({"fault": "truncate", "after_events": 6}))
        request = pb.GenerateRequest(prompt="a question " * 500, max_tokens=50)
        answer = await read(caller.StreamGenerate(request))
        assert answer.failure is not None
        [entry] = sim.books.ended
        found = await accounts(daemon)
        assert found["all"]["spent"] == (entry.input_tokens + 10 * 50) * 1_000
        assert found["tokens"]["spent"] == entry.input_tokens + 50


async def test_restarts_forget_nothing(tmp_path: Path) -> None:
    """Not a clean one, and not one by kill -9 while a call is under way."""
    limit = {"name": "all", "calls": 100}
    async with Simulator() as sim:
        async with served(sim, limit, folder=tmp_path) as (daemon, caller):
            await caller.Generate(ASK)
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0
        async with served(sim, limit, folder=tmp_path) as (daemon, caller):
            assert (await accounts(daemon))["all"]["spent"] == 1
            sim.play(Script.of({"fault": "stall", "after_events": 0}))
            call = asyncio.ensure_future(fails(caller.Generate(ASK)))
            while sim.books.requests < 2:  # noqa: ASYNC110  # it is another process's doing
                await asyncio.sleep(0.01)
            daemon.signal(signal.SIGKILL)
            await daemon.ended()
            await call
        async with served(sim, limit, folder=tmp_path) as (daemon, _):
            assert (await daemon.logged("ledger opened"))["left_open"] == 1
            assert (await accounts(daemon))["all"]["spent"] == 2
            assert await used(daemon) == ["2", "1"]
            _, out, _ = await command(daemon, "budget")
            assert out.startswith("1 attempt that killed processes left open is in SPENT")
            token = str(tmp_path / "admin-token")
            ordered = await sidecard(
                "budget", "release", "--address", daemon.address, "--token-file", token
            )
            assert ordered[0] == 0, ordered
            assert ordered[1].startswith("released 1 attempt, $0.00")
            await daemon.logged("left open released", attempts=1)
        async with served(sim, limit, folder=tmp_path) as (daemon, _):
            assert (await accounts(daemon))["all"]["spent"] == 1
            assert await used(daemon) == ["1", "0"]


@pytest.mark.parametrize("how", ["closed", "open"])
async def test_a_ledger_that_cannot_be_written(tmp_path: Path, how: str) -> None:
    """Nothing is spent that it couldn't keep, unless that is wanted; either way it is said."""
    (tmp_path / "ledger").write_text("in the way")
    async with (
        Simulator() as sim,
        served(
            sim, {"name": "all", "calls": 5}, folder=tmp_path, budgets__on_ledger_failure=how
        ) as (daemon, caller),
    ):
        await daemon.logged("ledger out")
        if how == "closed":
            told = await fails(caller.Generate(ASK))
            assert (told.reason, sim.books.requests) == ("BUDGET_EXHAUSTED", 0)
            assert "budgets can't be kept" in told.message
            assert (await accounts(daemon))["all"]["spent"] == 0
        else:
            await caller.Generate(ASK)
            assert (await accounts(daemon))["all"]["spent"] == 1
            (tmp_path / "ledger").unlink()
            await daemon.logged("ledger opened")
            daemon.signal(signal.SIGTERM)
            await daemon.ended()
    if how == "open":
        async with (
            Simulator() as sim,
            served(sim, {"name": "all", "calls": 5}, folder=tmp_path) as (daemon, _),
        ):
            assert (await accounts(daemon))["all"]["spent"] == 1


async def test_without_budgets_there_is_a_record(tmp_path: Path) -> None:
    """Of what was used, also by the daemon before; and a disk that fails it fails no call."""
    async with Simulator() as sim:
        async with served(sim, folder=tmp_path) as (daemon, caller):
            await caller.Generate(ASK)
            sim.play(Script.of({"fault": "truncate", "after_events": 4}))
            assert (await read(caller.StreamGenerate(ASK))).failure is not None
            assert await used(daemon) == ["2", "1"]
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0
        async with served(sim, folder=tmp_path) as (daemon, _):
            assert await used(daemon) == ["2", "1"]
            assert (await accounts(daemon)) == {}
        shutil.rmtree(tmp_path / "ledger")
        (tmp_path / "ledger").write_text("no folder")
        async with served(sim, folder=tmp_path) as (daemon, caller):
            await daemon.logged("ledger out")
            assert (await caller.Generate(ASK)).source == pb.SOURCE_UPSTREAM
            assert await metric(daemon, "sidecard_ledger_available") == 0
            status, _, err = await command(daemon, "usage")
            assert (status, "the ledger can't be read" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--by", "color"], "'color' is none of tenant, route, model"),
        (["--since", "soon"], "'soon' is no age"),
        (["--csv", "--json"], "not allowed with"),
    ],
)
async def test_wrong_flags_are_said(arguments: list[str], told: str) -> None:
    """Before anything is asked."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecard", "usage", *arguments, env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await process.communicate()
    assert process.returncode == 2
    assert told in err.decode()
