"""One simulator and one real daemon for each module of end-to-end tests."""

from collections.abc import AsyncIterator
from typing import Final

import pytest_asyncio

from sidecard.simulator.server import Simulator
from tests.support.daemon import ONCE, Daemon, running, settings
from tests.support.rpc import Caller, connected

MODULE: Final = "module"


@pytest_asyncio.fixture(scope=MODULE, loop_scope=MODULE)
async def sim() -> AsyncIterator[Simulator]:
    """Return the upstream; each test gives it the script that it wants."""
    async with Simulator() as simulator:
        yield simulator


@pytest_asyncio.fixture(scope=MODULE, loop_scope=MODULE)
async def daemon(sim: Simulator) -> AsyncIterator[Daemon]:
    """Return a daemon with short timeouts that tries each call once, in front of the simulator."""
    env = (
        settings(sim.base_url)
        | ONCE
        | {
            "SIDECARD_TIMEOUTS__CONNECT_S": "0.5",
            "SIDECARD_TIMEOUTS__FIRST_EVENT_S": "0.5",
            "SIDECARD_TIMEOUTS__IDLE_S": "0.4",
            "SIDECARD_TIMEOUTS__TOTAL_S": "1.5",
            "SIDECARD_UPSTREAM__MAX_ANSWER_BYTES": "2097152",
        }
    )
    async with running(env) as process:
        yield process


@pytest_asyncio.fixture(scope=MODULE, loop_scope=MODULE)
async def caller(daemon: Daemon) -> AsyncIterator[Caller]:
    """Return the daemon's service as a caller sees it."""
    async with connected(daemon.address) as stub:
        yield stub
