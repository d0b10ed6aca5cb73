"""A daemon with the drop-in endpoint, and what its tests ask of it, whatever SDK asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sidecard.simulator.server import Simulator
from tests.support.daemon import Daemon, running, settings

MODEL = "claude-sonnet-5-5"
HELLO: Any = [{"role": "user", "content": "please say something that takes a few words to say"}]
ASKED: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": HELLO}

FAILING = {
    "routes__default__targets": '[{"model": "claude-sonnet-5-5"}]',
    "timeouts__total_s": "1",
    "breaker__mode": "disabled",
}
"""Settings of a daemon that has nowhere else to go, and soon gives up."""


@asynccontextmanager
async def served(sim: Simulator, **more: str) -> AsyncIterator[tuple[Daemon, str]]:
    """Run a daemon with the endpoint, and return it with its base URL."""
    env = settings(sim.base_url) | {
        "SIDECARD_RETRY__MAX_ATTEMPTS": "1",
        "SIDECARD_LISTEN__HTTP": "127.0.0.1:0",
        "SIDECARD_TIMEOUTS__TOTAL_S": "5",
    }
    env |= {f"SIDECARD_{name.upper()}": value for name, value in more.items()}
    async with running(env) as daemon:
        line = await daemon.logged("serving")
        yield daemon, f"http://{line['http']}"
