"""A real daemon with a configuration file, and what it shows of its reloads."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from sidecard.simulator.server import Simulator
from tests.support.daemon import Daemon, running, settings
from tests.support.rpc import Caller, connected

ROUTES = {"default": {"targets": [{"model": "claude-sonnet-5-5"}]}}
Status = dict[str, Any]


def write(file: Path, **sections: object) -> None:
    """Write a configuration as careful tools do: beside, and then in its place."""
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps({"routes": ROUTES, **sections}))
    beside.replace(file)


@asynccontextmanager
async def served(sim: Simulator, file: Path, **env: str) -> AsyncIterator[tuple[Daemon, Caller]]:
    given = settings(sim.base_url) | env
    async with (
        running(given, "--config", str(file)) as daemon,
        connected(daemon.address) as caller,
    ):
        yield daemon, caller


async def status(daemon: Daemon) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{daemon.admin}/status.json") as response,
    ):
        found: dict[str, Any] = await response.json()
        return found


async def shows(daemon: Daemon, condition: Callable[[Status], bool]) -> Status:
    """Return the daemon's status when the condition holds of it."""
    async with asyncio.timeout(15):
        while not condition(found := await status(daemon)):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.02)
    return found


async def reloaded(daemon: Daemon, **config: object) -> Status:
    """Have the daemon reload, and return its status when it has."""
    before = (await status(daemon))["config"]["reloads"]
    daemon.signal(signal.SIGHUP)
    found = await shows(daemon, lambda found: found["config"]["reloads"] > before)
    assert found["config"]["failures"] == 0, found["config"]
    assert config.items() <= found["config"].items()
    return found


async def settled(daemon: Daemon, reloads: int) -> Status:
    """Wait until the daemon has reloaded by itself so many times, and return its status."""
    return await shows(daemon, lambda found: found["config"]["reloads"] >= reloads)


async def metric(daemon: Daemon, name: str) -> float:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{daemon.admin}/metrics") as response,
    ):
        lines = (await response.text()).splitlines()
    return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])
