"""A running simulator for each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sidecard.simulator.server import Simulator


@pytest_asyncio.fixture
async def sim(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Simulator]:
    """Serve for one test, on a port of its own; the server has no error to log, whatever comes."""
    async with Simulator() as simulator:
        yield simulator
    assert not [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
