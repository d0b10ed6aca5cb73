"""`sidecard status` where things are not as they should be: a sentence, and never a traceback."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecard.server.admin import AdminServer
from tests.support.daemon import environment
from tests.support.told import told


@asynccontextmanager
async def telling(document: Any) -> AsyncIterator[str]:
    """Serve this document, or raise it, and give the address."""

    def status() -> Any:
        if isinstance(document, Exception):
            raise document
        return document

    server = AdminServer("127.0.0.1:0", told(status))
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop()


async def run(*arguments: str, out: int = asyncio.subprocess.PIPE) -> tuple[int, str, str]:
    """Return the command's exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecard", "status", *arguments),
        env=environment(http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9"),
        stdout=out,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, err = await process.communicate()
    return process.returncode or 0, (printed or b"").decode(), err.decode()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"targets": [{}], "admission": {"shared": {}}, "retry_budget": {"left": 1}},
        {"targets": [{"breaker": {"failure_rate": None}, "limits": {"requests": {}}}]},
        {"targets": ["a", None], "admission": [], "retry_budget": 1, "uptime_s": "x"},
        {"targets": 3, "admission": {"shared": None}},
        {"budgets": {"accounts": [None, {}, {"limit": 0, "left": "x"}]}},
        {"budgets": {"accounts": 7}},
    ],
)
async def test_missing_parts_are_left_out(document: dict[str, Any]) -> None:
    """A daemon of another version may tell less, or in another shape; no proxy is asked."""
    async with telling(document) as address:
        status, out, err = await run("--admin", address)
    assert (status, err) == (0, "")
    assert out.startswith("sidecard ?, not ready: ?, up ?\n")


async def test_names_command_no_terminal() -> None:
    """Callers may name targets: what would move the cursor is shown as text."""
    async with telling({"targets": [{"target": "a\x1b[2J\nb"}], "version": "\x9b"}) as address:
        status, out, _ = await run("--admin", address)
    assert (status, "a\\x1b[2J\\nb" in out) == (0, True)
    assert "".join(out.split("\n")).isprintable()


@pytest.mark.parametrize(
    ("document", "why"), [(["something else"], "isn't sidecard's"), (KeyError(), "answers 500: ")]
)
async def test_another_answer_is_one_sentence(document: Any, why: str) -> None:
    """What answers, and isn't a status, is told like nobody, with what it said instead."""
    async with telling(document) as address:
        status, out, err = await run("--admin", address)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert why in err


async def test_what_speaks_no_http_commands_no_terminal() -> None:
    """As the daemon's own gRPC: what it sends is shown as text."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\x12\x04\x1b[2J\0\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        status, out, err = await run("--admin", f"127.0.0.1:{port}")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.removesuffix("\n").isprintable()
    assert err.endswith("--admin or $SIDECARD_ADMIN where to ask\n")
    assert "\\x04" in err


@pytest.mark.parametrize("port", ["65536", "99999999999", "²", "-1"])
async def test_what_is_no_port_is_told(port: str) -> None:
    """Before anything is asked."""
    status, out, err = await run(f"--admin=127.0.0.1:{port}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "expected host:port" in err


async def test_a_closed_pipe_is_no_traceback() -> None:
    """As in `sidecard status | head -1`: quiet, with a shell's status for it."""
    reading, writing = os.pipe()
    os.close(reading)
    async with telling({}) as address:
        status, _, err = await run("--admin", address, out=writing)
    os.close(writing)
    assert (status, err) == (141, "")
