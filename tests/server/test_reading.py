"""What bounds the time that a request may take to come."""

import asyncio
import random

import pytest

from sidecard.server.reading import InTime


async def test_what_comes_in_time_is_returned() -> None:
    """And nothing ends the task afterwards."""

    async def come() -> str:
        await asyncio.sleep(0)
        return "here"

    assert await InTime(0.01)(come()) == "here"
    await asyncio.sleep(0.03)


async def test_what_does_not_come_is_not_waited_for() -> None:
    """It is a TimeoutError, and the task isn't left cancelled."""
    with pytest.raises(TimeoutError):
        await InTime(0.01)(asyncio.Event().wait())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("body_s", [0.0, 60.0])
async def test_a_cancellation_from_elsewhere_stays_one(body_s: float) -> None:
    """Also where the time is over at the same moment."""
    task = asyncio.create_task(InTime(body_s)(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_its_own_errors_pass() -> None:
    """What fails to come says so itself."""

    async def fail() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await InTime(60.0)(fail())


async def test_each_has_its_own_time() -> None:
    """Who began later is late later, whoever came or left before; and all share one timer."""
    in_time, began, ended = InTime(1.0), list[int](), list[int]()
    chance = random.Random(7)  # noqa: S311  # nothing secret

    async def one(number: int) -> None:
        comes = asyncio.Event()
        if number % 3 == 1:
            asyncio.get_running_loop().call_later(chance.random() * 0.2, comes.set)
        began.append(number)
        try:
            await in_time(comes.wait())
            assert number % 3 == 1
        except TimeoutError:
            assert number % 3 != 1
            ended.append(number)

    tasks = []
    for number in range(60):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(chance.choice([0, 0, 0.005]))
        if number % 3 == 2:
            tasks[number].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert ended == [number for number in began if number % 3 == 0]
    assert [isinstance(it, asyncio.CancelledError) for it in results] == [
        number % 3 == 2 for number in range(60)
    ]
    assert repr(in_time) == "<InTime, 0 waited for>"


async def test_one_task_waits_twice() -> None:
    """Its second time counts from the second beginning."""
    in_time = InTime(0.6)
    await in_time(asyncio.sleep(0.4))
    await in_time(asyncio.sleep(0.4))
    with pytest.raises(TimeoutError):
        await in_time(asyncio.sleep(9))
