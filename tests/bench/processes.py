"""The bench's processes: started on their core, reached through their port, killed by their id."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any, Final

from tests.bench.jobs import InsideJob, Job, Took
from tests.support.daemon import environment

ROOT: Final = Path(__file__).parents[2]
_START_S: Final = 20.0
_LINE_BYTES: Final = 1 << 24
"""A job's result is one line with a number for each of its calls."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where: what is measured has a core to itself. With one core, nobody is pinned."""

    subject: int | None
    rest: int | None

    @classmethod
    def choose(cls, *, pin: bool) -> "Cores":
        available = sorted(os.sched_getaffinity(0))
        if not pin or len(available) == 1:
            return cls(None, None)
        return cls(available[0], available[1])


@dataclass(frozen=True, slots=True)
class Running:
    """A started server, and when it was (monotonic nanoseconds)."""

    pid: int
    port: int
    began_ns: int
    log: Path | None = None


@asynccontextmanager
async def process(
    argv: Sequence[str],
    env: Mapping[str, str],
    core: int | None,
    *,
    stdout: int | None = None,
    stderr: int | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process until the block ends; then it is killed.

    Its input is a pipe that nothing is written to: with it the bench's own servers end,
    should the bench be killed.
    """
    child = await asyncio.create_subprocess_exec(
        *argv,
        cwd=ROOT,
        env=dict(env),
        stdin=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        stdout=stdout,
        stderr=stderr,
    )
    try:
        if core is not None:
            os.sched_setaffinity(child.pid, {core})
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


@asynccontextmanager
async def server(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    port: int,
    core: int | None,
    log: Path | None = None,
) -> AsyncIterator[Running]:
    """Run a server that will listen at `port`, and don't wait until it does.

    Its log goes to a file, as a container's does; without one, to our standard error.
    """
    with contextlib.ExitStack() as files:
        began_ns = monotonic_ns()
        to = files.enter_context(log.open("ab")).fileno() if log else None
        async with process(argv, env, core, stderr=to) as child:
            yield Running(child.pid, port, began_ns, log)


async def listening(running: Running) -> None:
    """Wait until a server takes connections; raises `RuntimeError` when it has ended instead."""
    async with asyncio.timeout(_START_S):
        while True:
            if not Path(f"/proc/{running.pid}/exe").exists():
                lines = running.log.read_text().splitlines() if running.log else []
                raise RuntimeError(f"a server ended as it started: {''.join(lines[-1:])}")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", running.port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.01)


def plain_environment(**settings: str) -> dict[str, str]:
    """Return an environment in which Python behaves as a user's does: it keeps its bytecode."""
    whole = environment(**settings)
    return {k: v for k, v in whole.items() if not k.startswith("PYTHON") or k == "PYTHONPATH"}


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of the bench."""
    return [sys.executable, "-m", f"tests.bench.{name}", *map(str, arguments)]


@asynccontextmanager
async def mock_upstream(cores: Cores) -> AsyncIterator[Running]:
    """Run the mock until the block ends."""
    port = free_port()
    argv = module("mock", port)
    async with server(argv, plain_environment(), port=port, core=cores.rest) as running:
        await listening(running)
        yield running


class Worker:
    """A process that does jobs: a line of JSON for each, and a line for its result."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    async def ask(self, job: Job | InsideJob) -> Any:
        """Have a job done; raises `RuntimeError` when it failed, with the reason on stderr."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        line = await self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the bench's own process failed at {job}")
        return json.loads(line)


class LoadProcess(Worker):
    """The process that makes the calls."""

    async def do(self, job: Job) -> Took:
        """Have a job done, as `ask`."""
        return Took(**await self.ask(job))


@asynccontextmanager
async def load(cores: Cores) -> AsyncIterator[LoadProcess]:
    """Run a load process until the block ends."""
    pipe = asyncio.subprocess.PIPE
    async with process(module("load"), plain_environment(), cores.rest, stdout=pipe) as child:
        yield LoadProcess(child)


@asynccontextmanager
async def inside(cores: Cores) -> AsyncIterator[Worker]:
    """Run a process for what is measured within one, where else the subjects run."""
    pipe = asyncio.subprocess.PIPE
    async with process(module("inside"), plain_environment(), cores.subject, stdout=pipe) as child:
        yield Worker(child)
