"""`sidecard cache`: what a running daemon keeps, shown and removed."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import Daemon, environment, running, settings
from tests.support.rpc import Caller, connected

HIT = pb.SOURCE_CACHE_EXACT


@asynccontextmanager
async def served(folder: Path | None) -> AsyncIterator[tuple[Daemon, Caller]]:
    """Run a daemon that keeps answers in a folder, or in memory."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_CACHE__ENABLED": "true"}
        if folder is not None:
            env["SIDECARD_DATA_DIR"] = str(folder)
        async with running(env) as daemon, connected(daemon.address) as caller:
            if folder is not None:
                await daemon.logged("cache opened")
            yield daemon, caller


async def command(*arguments: str, **env: str) -> tuple[int, str, str]:
    """Return the exit status and what was printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecard", "cache", *arguments,
        env=environment(**env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, told = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), told.decode()


def asks(prompt: str, tenant: str = "") -> pb.GenerateRequest:
    return pb.GenerateRequest(prompt=prompt, tenant=tenant)


async def test_what_is_kept_is_shown(tmp_path: Path) -> None:
    """How much, in a table and as JSON; and the answer to a question, at no cost."""
    async with served(tmp_path) as (daemon, caller):
        first = await caller.Generate(asks("hello"))
        for wait in range(100):
            status, out, _ = await command("stats", "--json", "--admin", daemon.admin)
            if json.loads(out)["written"] or wait == 99:
                break
        assert (status, json.loads(out)["entries"], json.loads(out)["kind"]) == (0, 1, "disk")
        status, out, _ = await command("stats", "--admin", daemon.admin)
        assert status == 0
        assert out.startswith("answers are kept on disk; the store takes entries\n")
        assert "max bytes" in out
        status, out, told = await command("get", "hello", "--address", daemon.address)
        assert (status, out) == (0, first.text + "\n")
        assert "s ago" in told
        for other in (["other"], ["hello", "--tenant", "t"], ["hello", "--namespace", "n"]):
            status, out, told = await command("get", *other, "--address", daemon.address)
            assert (status, out) == (1, "")
            assert told == "sidecard cache: nothing fresh is kept for that\n"


async def test_answers_are_removed(tmp_path: Path) -> None:
    """By tenant, route and age, or all; with the token that the daemon made for its owner."""
    token = tmp_path / "admin-token"
    async with served(tmp_path) as (daemon, caller):
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        here = ("--address", daemon.address)
        for tenant in ("a", "b", "c"):
            await caller.Generate(asks("hello", tenant))

        async def purged(*which: str) -> tuple[int, str, str]:
            return await command("purge", *which, *here, SIDECARD_DATA_DIR=str(tmp_path))

        assert await purged("--tenant", "a") == (0, "removed 1\n", "")
        assert (await caller.Generate(asks("hello", "a"))).source == pb.SOURCE_UPSTREAM
        assert (await caller.Generate(asks("hello", "b"))).source == HIT
        assert await purged("--route", "other") == (0, "removed 0\n", "")
        assert await purged("--older-than", "1h") == (0, "removed 0\n", "")
        assert await purged("--tenant", "b", "--older-than", "0s") == (0, "removed 1\n", "")
        assert await purged("--everything") == (0, "removed 2\n", "")
        await daemon.logged("cache purged", removed=2)


async def test_who_has_no_token_removes_nothing(tmp_path: Path) -> None:
    """A wrong one is refused, and so is none; what is kept stays."""
    wrong = tmp_path / "wrong"
    wrong.write_text("guess\n")
    async with served(tmp_path / "data") as (daemon, caller):
        await caller.Generate(asks("hello"))
        status, out, told = await command(
            "purge", "--everything", "--token-file", str(wrong), "--address", daemon.address
        )
        assert (status, out) == (1, "")
        assert "an order needs the operator's token" in told
        assert (await caller.Generate(asks("hello"))).source == HIT


async def test_a_daemon_without_a_token_takes_no_orders(tmp_path: Path) -> None:
    """Nobody could tell who the operator is; the command says what is missing."""
    token = tmp_path / "token"
    token.write_text("x")
    async with served(None) as (daemon, _):
        status, _, told = await command(
            "purge", "--everything", "--token-file", str(token), "--address", daemon.address
        )
    assert status == 1
    assert "it needs listen.admin_token_file or a data_dir" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["purge"], "say what to remove"),
        (["purge", "--everything", "--tenant", "a"], "say what to remove"),
        (["purge", "--everything"], "no token: give --token-file"),
        (["purge", "--everything", "--token-file", "/none"], "can't read the token in /none"),
        (["purge", "--older-than", "soon"], "'soon' is no age; expected as 90s, 15m, 12h or 7d"),
        (["get", "hello", "--address", "http://a"], "neither host:port nor unix:///path"),
        (["stats", "--admin", "nowhere"], "nowhere is no address"),
        ([], "stats | get | purge"),
    ],
)
async def test_what_is_asked_wrongly_is_told(arguments: list[str], told: str) -> None:
    """Exit status 2, and one sentence with the fix."""
    status, out, said = await command(*arguments)
    assert (status, out) == (2, "")
    assert told in said


async def test_nobody_there_is_told() -> None:
    """Exit status 1 where no daemon answers."""
    for arguments in (["stats", "--admin", "127.0.0.1:9"], ["get", "a", "--address", "[::1]:9"]):
        status, _, told = await command(*arguments)
        assert status == 1
        assert "no daemon" in told or "no sidecard daemon" in told
