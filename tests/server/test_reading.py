"""What bounds the time that a request may take to come."""

import asyncio

import pytest

from sidecard.server.reading import in_time


async def test_what_comes_in_time_is_returned() -> None:
    """And nothing ends the task afterwards."""

    async def come() -> str:
        await asyncio.sleep(0)
        return "here"

    assert await in_time(come(), 0.01) == "here"
    await asyncio.sleep(0.03)


async def test_what_does_not_come_is_not_waited_for() -> None:
    """It is a TimeoutError, and the task isn't left cancelled."""
    with pytest.raises(TimeoutError):
        await in_time(asyncio.Event().wait(), 0.01)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("body_s", [0.0, 60.0])
async def test_a_cancellation_from_elsewhere_stays_one(body_s: float) -> None:
    """Also where the time is over at the same moment."""
    task = asyncio.create_task(in_time(asyncio.Event().wait(), body_s))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_its_own_errors_pass() -> None:
    """What fails to come says so itself."""

    async def fail() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await in_time(fail(), 60.0)
