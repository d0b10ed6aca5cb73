"""The real daemon as a process: started as a user would, watched through its log."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

START_S = 20.0

ONCE = {
    "SIDECARD_RETRY__MAX_ATTEMPTS": "1",
    "SIDECARD_RETRY__MAX_ATTEMPTS_PER_CALL": "1",
    "SIDECARD_BREAKER__MODE": "disabled",
    "SIDECARD_LIMITS__LONGEST_CLOSED_S": "0.001",
}
"""Settings of a daemon that tries each call once, whatever happened to the ones before it."""


class Daemon:
    """A running `sidecard serve`: its log so far, parsed, and where it and its admin answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.address = ""
        self.admin = ""
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            async with self._news:
                self.lines.append(_parsed(raw))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def logged(self, event: str, /, **facts: object) -> dict[str, Any]:
        """Return the first log line of that event with those facts, waiting for it."""

        def found() -> dict[str, Any] | None:
            for line in self.lines:
                if line.get("event") == event and facts.items() <= line.items():
                    return line
            return None

        async with asyncio.timeout(START_S), self._news:
            await self._news.wait_for(lambda: found() or self._reader.done())
        line = found()
        assert line is not None, f"no {event!r} with {facts} in {self.lines}"
        return line

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, within_s: float = START_S) -> int:
        """Return the exit status, once the process has ended and its log is read."""
        async with asyncio.timeout(within_s):
            status = await self.process.wait()
            await self._reader
        return status

    @property
    def rss_bytes(self) -> int:
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def private_bytes(self) -> int:
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")

    @property
    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208  # counts only


def _parsed(raw: bytes) -> dict[str, Any]:
    text = raw.decode("utf-8", "replace").rstrip("\n")
    try:
        line = json.loads(text)
    except ValueError:
        return {"event": "", "text": text}
    return line if isinstance(line, dict) else {"event": "", "text": text}


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment without what would configure a daemon, plus `settings`.

    Nor is it kept from writing bytecode: a user's daemon isn't compiled anew at every start.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SIDECARD_", "ANTHROPIC_", "KUBERNETES_"))
        and name != "PYTHONDONTWRITEBYTECODE"
        and name.lower() not in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    }
    return {**kept, "SIDECARD_LISTEN__ADMIN": "127.0.0.1:0", **settings}


def settings(base_url: str) -> dict[str, str]:
    """Return the environment of a daemon that asks the upstream at `base_url`, for every call."""
    return environment(
        SIDECARD_CACHE__ENABLED="false",
        SIDECARD_CACHE__COALESCE="false",
        ANTHROPIC_API_KEY="sk-ant-test-0123456789",
        SIDECARD_UPSTREAM__BASE_URL=base_url,
        SIDECARD_LISTEN__GRPC="127.0.0.1:0",
        SIDECARD_LOG__FORMAT="json",
    )


async def spawn(env: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    """Start `sidecard serve` and return its process at once."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecard",
        "serve",
        *arguments,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(env: Mapping[str, str], *arguments: str) -> AsyncIterator[Daemon]:
    """Run a daemon until the block ends; then it is killed, if it is still there."""
    daemon = Daemon(await spawn(env, *arguments))
    try:
        serving = await daemon.logged("serving")
        daemon.address, daemon.admin = serving["grpc"], serving.get("admin", "")
        yield daemon
    finally:
        if daemon.process.returncode is None:
            daemon.process.kill()
        await daemon.ended()
