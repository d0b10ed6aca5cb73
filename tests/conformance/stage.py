"""What stands behind a client: the simulator, and a real daemon for each configuration."""

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.conformance.vectors import Json
from tests.support.certificates import Issuer
from tests.support.daemon import environment, running
from tests.support.scripted_daemon import eventually

USUAL: Final[Json] = {
    "listen": {"grpc": "127.0.0.1:0", "admin": None},
    "retry": {"max_attempts": 1, "max_attempts_per_call": 1},
    "breaker": {"mode": "disabled"},
    "limits": {"longest_closed_s": 0.001},
    "cache": {"enabled": False, "coalesce": False},
    "log": {"format": "json"},
}
"""A daemon that tries each call once, whatever happened to the ones before it."""

_STOPPED: Final[Json] = {"fault": "none", "times": "always"}


_TOKENS: Final = "team-a token-of-team-a-0123456789\n* token-of-anybody-0123456789\n"
"""What `$folder/tokens` holds."""

_SIGNED: Final = {"issuer": ("daemon", "caller"), "stranger": ()}
"""Whose certificates are there, as `$folder/….pem` and `$folder/….key`, by who signed them."""


class Stage:
    """The simulator and its daemons; for one vector at a time."""

    def __init__(self, simulator: Simulator, folder: Path, stack: AsyncExitStack) -> None:
        self._simulator = simulator
        self._folder = folder
        self._stack = stack
        self._running: dict[str, str] = {}
        self._before = (0, 0)

    async def set(self, daemon: Json, script: list[Json]) -> str:
        """Have the upstream play that script, and return the address of such a daemon."""
        address = await self._address(daemon)
        self._simulator.play(Script.of(*(script or [_STOPPED])))
        books = self._simulator.books
        self._before = books.requests, len(books.abandoned)
        return address

    def with_folder(self, said: Json) -> Json:
        """Return what is said with the folder's path for `$folder`."""
        put: Json = json.loads(json.dumps(said).replace("$folder", str(self._folder)))
        return put

    async def upstream_abandoned(self, expected: int) -> int:
        """Return how many requests the daemon left since `set`, once they are as many."""
        books = self._simulator.books
        with suppress(TimeoutError):
            await eventually(
                lambda: (
                    len(books.abandoned) - self._before[1] >= expected and not books.requests_open
                )
            )
        return len(books.abandoned) - self._before[1]

    @property
    def upstream_requests(self) -> int:
        """How many requests came since `set`."""
        return self._simulator.books.requests - self._before[0]

    @property
    def upstream_got(self) -> Json:
        """The last request's body."""
        return dict(self._simulator.books.received[-1].body)

    async def _address(self, daemon: Json) -> str:
        key = json.dumps(daemon, sort_keys=True)
        if key not in self._running:
            file = self._folder / f"{len(self._running)}.yaml"
            upstream = {"upstream": {"base_url": self._simulator.base_url}}
            config = merged(merged(USUAL, upstream), daemon)
            (self._folder / "tokens").write_text(_TOKENS)
            file.write_text(json.dumps(self.with_folder(config)))
            env = environment(ANTHROPIC_API_KEY="sk-ant-test-0123456789")
            del env["SIDECARD_LISTEN__ADMIN"]
            process = await self._stack.enter_async_context(running(env, "--config", str(file)))
            self._running[key] = process.address
        return self._running[key]


def merged(under: Json, over: Json) -> Json:
    """Return a configuration with what another one says put over it, section by section."""
    both = {
        key: merged(under[key], over[key])
        for key in under.keys() & over.keys()
        if isinstance(under[key], dict) and isinstance(over[key], dict)
    }
    return {**under, **over, **both}


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Serve until the block ends."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecard-"))
        for issuer, signed in _SIGNED.items():
            issuing = Issuer(Path(folder), issuer)
            for name in signed:
                issuing.issue(name)
        simulator = await stack.enter_async_context(Simulator())
        yield Stage(simulator, Path(folder), stack)
