"""A scripted daemon, and each client in turn."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.scripted_daemon import CLIENTS, AnyClient, ScriptedDaemon, scripted


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the environment says out of the tests."""
    monkeypatch.delenv("SIDECARD_ADDRESS", raising=False)


@pytest_asyncio.fixture
async def daemon() -> AsyncIterator[ScriptedDaemon]:
    """Serve on a loopback port."""
    async with scripted() as daemon:
        yield daemon


@pytest_asyncio.fixture(params=CLIENTS, ids=["awaiting", "blocking"])
async def client(
    request: pytest.FixtureRequest, daemon: ScriptedDaemon
) -> AsyncIterator[AnyClient]:
    """Connect each client to the scripted daemon."""
    async with request.param(daemon.address) as client:
        yield client
