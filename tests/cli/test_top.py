"""`sidecard top`: in a terminal, which it fits, and in a pipe."""

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios

from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import environment, running, settings
from tests.support.rpc import connected

ROWS, COLUMNS = 16, 60


async def test_it_fits_its_terminal() -> None:
    """However many calls there were, and however long their names: the head is not pushed out."""
    async with Simulator() as sim, running(settings(sim.base_url)) as daemon:
        async with connected(daemon.address) as caller:
            for number in range(20):
                tenant = f"tenant-with-a-long-name-{number}"
                await caller.Generate(pb.GenerateRequest(prompt="a", tenant=tenant))
        shown, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecard", "top", "--times", "2", "--every", "0.1"),
            *("--admin", daemon.admin),
            env={k: v for k, v in environment().items() if k not in {"COLUMNS", "LINES"}},
            stdin=terminal, stdout=terminal, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)
        text = await asyncio.to_thread(_all, shown)
        assert await process.wait() == 0
    _, first, second = text.split("\x1b[H\x1b[J")
    for page in (first, second):
        lines = page.removeprefix("\x1b[?7l").replace("\x1b[?7h", "").splitlines()
        assert len(lines) < ROWS
        assert max(map(len, lines)) <= COLUMNS
        assert lines[0].startswith("sidecard ")
        assert "ready" in lines[0]
        assert any(line.startswith("TIME ") for line in lines)
        assert page.rstrip().endswith("\x1b[?7h"), "the terminal wraps lines again"


def _all(shown: int) -> str:
    read = b""
    try:
        while found := os.read(shown, 65_536):
            read += found
    except OSError:  # What Linux has for the end.
        pass
    os.close(shown)
    return read.decode()


async def test_a_pipe_gets_all_of_it() -> None:
    """As text without a word to terminals: the last calls with their times, and the cache."""
    async with Simulator() as sim, running(settings(sim.base_url)) as daemon:
        async with connected(daemon.address) as caller:
            for _ in range(30):
                await caller.Generate(pb.GenerateRequest(prompt="a"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecard", "top", "--times", "1", "--admin", daemon.admin),
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    lines = out.decode().splitlines()
    assert process.returncode == 0
    assert "\x1b" not in out.decode()
    assert len([line for line in lines if "completed" in line]) == 30
    assert any(line.startswith("cache: ") for line in lines)
