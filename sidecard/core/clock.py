"""Time, as a port: what decides about time is handed a clock, so tests own it."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will be called, unless it is cancelled before."""

    def cancel(self) -> None:
        """Forget it; harmless when it was called already."""
        ...


class Clock(Protocol):
    """Two times that must not be mixed up, each in seconds."""

    def now(self) -> float:
        """Return a monotonic moment, on the event loop's own base: for deadlines and durations."""
        ...

    def wall(self) -> float:
        """Return seconds since the Unix epoch, which can step: for people and for calendars."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Have `callback` called from the running event loop at the moment `when` of `now`."""
        ...


class SystemClock:
    """The machine's clock. `asyncio`'s loops and uvloop count from the same monotonic base."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    @staticmethod
    def call_at(when: float, callback: Callable[[], object]) -> Timer:
        """Leave it to the event loop."""
        return asyncio.get_running_loop().call_at(when, callback)

    def __repr__(self) -> str:
        return "<SystemClock>"


async def sleep_until(clock: Clock, when: float) -> None:
    """Return at the moment `when` of `clock`, or at once when that has passed."""
    if when <= clock.now():
        return
    woken = asyncio.Event()
    timer = clock.call_at(when, woken.set)
    try:
        await woken.wait()
    finally:
        timer.cancel()
