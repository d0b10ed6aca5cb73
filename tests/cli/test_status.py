"""`sidecard status`: the table for people, the document for machines, and no daemon at all."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sidecard.server.admin import AdminServer
from tests.support.daemon import environment
from tests.support.rawserver import unused_port
from tests.support.told import told

DOCUMENT: dict[str, Any] = {
    "version": "0.1.0",
    "uptime_s": 3_725.0,
    "ready": True,
    "targets": [
        {
            "target": "claude-sonnet-5-5",
            "breaker": {
                "state": "half_open",
                "failure_rate": 0.625,
                "slow_rate": 0.0,
                "calls": 16,
                "opened_for_s": 75.2,
                "retry_after_s": 4.25,
                "trips": 1,
            },
            "limits": {
                "closed_s": 0.0,
                "requests": {"per_minute": 50, "room": 12, "from_headers": True},
            },
        },
        {
            "target": "claude-haiku-5-5",
            "breaker": {"state": "closed", "failure_rate": 0.0, "slow_rate": 0.0, "calls": 3},
            "limits": {"closed_s": 12.0},
        },
    ],
    "admission": {
        "shared": {
            "in_flight": 7,
            "limit": 1024,
            "interactive": 2,
            "batch": 1,
            "refused": {"queue": 3, "deadline": 0},
        }
    },
    "retry_budget": {"left": 9},
    "budgets": {
        "why": "",
        "open": 1,
        "accounts": [
            {
                "budget": "team",
                "scope": "tenant",
                "of": ["acme"],
                "unit": "nano_usd",
                "window": "day",
                "beyond": "refuse",
                "limit": 5_000_000_000,
                "spent": 1_250_000_000,
                "reserved": 250_000_000,
                "left": 3_500_000_000,
                "resets_in_s": 3_600.0,
            }
        ],
    },
}


@pytest_asyncio.fixture
async def address() -> AsyncIterator[str]:
    server = AdminServer("127.0.0.1:0", told(lambda: DOCUMENT))
    await server.start()
    yield server.address
    await server.stop()


async def run(*arguments: str) -> tuple[int, str, str]:
    """Return the command's exit status and what it printed."""
    import asyncio  # noqa: PLC0415  # a process beside the server's loop

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecard", "status", *arguments, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_table_tells_what_matters(address: str) -> None:
    """Each target's breaker and limits, the places and who waits, in words and units."""
    status, out, err = await run("--admin", address)
    assert (status, err) == (0, "")
    head, budget, *_ = out.splitlines()
    assert head == "sidecard 0.1.0, ready, up 1 h 2 min"
    assert budget == "retry budget: 9 left"
    rows = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line}
    assert rows["claude-sonnet-5-5"] == (
        "claude-sonnet-5-5 half-open 62 % 0 % 16 1 min 15 s ago in 4.2 s requests 12/50"
    )
    assert rows["claude-haiku-5-5"] == "claude-haiku-5-5 closed 0 % 0 % 3 closed for 12 s"
    assert rows["shared"] == "shared 7 of 1024 2 1 3 queue"
    assert rows["team"] == (
        "team acme day $5.0000 $1.2500 $0.2500 $3.5000 25 % in 1 h 0 min refuse"
    )


async def test_the_document_as_it_is(address: str) -> None:
    """`--json` is for machines."""
    status, out, _ = await run("--admin", address, "--json")
    assert status == 0
    assert json.loads(out) == DOCUMENT


async def test_no_daemon_is_one_sentence() -> None:
    """Nobody there is said in one line, without a traceback, and is a failure."""
    status, out, err = await run("--admin", f"127.0.0.1:{unused_port()}")
    assert (status, out) == (1, "")
    assert err.startswith("sidecard status: no daemon tells its status on 127.0.0.1:")
    assert err.endswith(
        "; listen.admin says where it is, --admin or $SIDECARD_ADMIN where to ask\n"
    )
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", ":7412", "host:port"])
async def test_an_address_that_is_none(address: str) -> None:
    """Is told before anything is asked."""
    status, _, err = await run("--admin", address)
    assert (status, err) == (
        2,
        f"sidecard status: {address} is no address; expected host:port\n",
    )


async def test_a_refused_configuration_is_told(address: str) -> None:
    """Who looks at the table sees every mistake, and what waits for a restart."""
    DOCUMENT["config"] = {
        "problems": ["retry.max_attempts: expected 1 to 20 (file x, line 3)"],
        "waiting_for_restart": ["listen.grpc", "data_dir"],
    }
    try:
        code, out, _ = await run("--admin", address)
    finally:
        del DOCUMENT["config"]
    assert code == 0
    assert "  retry.max_attempts: expected 1 to 20 (file x, line 3)\n" in out
    assert "waits for a restart: listen.grpc, data_dir\n" in out


async def test_budgets_with_the_least_left_are_told(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten accounts at most, the emptiest first, and how many more there are."""
    account = {"unit": "calls", "limit": 100, "reserved": 0, "window": "rolling hour"}
    each = [
        {**account, "budget": "each", "of": [f"t{n}"], "spent": n, "left": 100 - n}
        for n in range(12)
    ]
    monkeypatch.setitem(DOCUMENT, "budgets", {"why": "no space left", "accounts": each})
    code, out, _ = await run("--admin", address)
    assert code == 0
    assert "the ledger can't be written: no space left\n" in out
    rows = [line.split()[1] for line in out.splitlines() if line.startswith("each ")]
    assert rows == [f"t{n}" for n in range(11, 1, -1)]
    assert out.endswith("2 more, which have more left: sidecard budget\n")
