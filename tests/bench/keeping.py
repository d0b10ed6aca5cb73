"""Calls that are kept in flight: always about the same number at a port, at an even pace."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Ask: TypeAlias = Callable[[], Awaitable[bytes]]


class Kept:
    """State: the tasks that call, and how many answers came at each port."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._answered: Counter[int] = Counter()

    def start(self, port: int, ask: Ask, level: int, period_s: float) -> None:
        """Keep up `level` calls more, each followed by another after `period_s` or when it ends.

        They start evenly within the first period, and so do those that follow them,
        as each has its moment: what is late once doesn't make the pace uneven for good.
        """
        self._answered[port] = 0
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def keep(number: int) -> None:
            moment = began + period_s * number / level
            while True:
                await asyncio.sleep(moment - loop.time())
                await ask()
                self._answered[port] += 1
                moment += period_s

        self._tasks += [asyncio.create_task(keep(number)) for number in range(level)]

    async def stop(self) -> None:
        """Leave all of them; raises what one of them failed with, as none ends by itself."""
        tasks, self._tasks = self._tasks, []
        self._answered.clear()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    def answered(self) -> list[int]:
        """Return how many answers have come, for each port in the order of their start."""
        return list(self._answered.values())
