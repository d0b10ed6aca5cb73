"""Time, as a port: what decides about time is handed a clock, so tests own it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two times that must not be mixed up, each in seconds."""

    def now(self) -> float:
        """Return a monotonic moment, on the event loop's own base: for deadlines and durations."""
        ...

    def wall(self) -> float:
        """Return seconds since the Unix epoch, which can step: for people and for calendars."""
        ...


class SystemClock:
    """The machine's clock. `asyncio`'s loops and uvloop count from the same monotonic base."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def __repr__(self) -> str:
        return "<SystemClock>"
