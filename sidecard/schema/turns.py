"""Turns: a lock for which who waits is served in turn, each tenant once a round.

A schema may take its second of CPU time before it is refused, and costs its caller nothing.
First come, first served would make everybody wait for all that one tenant can think of.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """State: who waits. For the tasks of one event loop."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def of(self, whose: str) -> AsyncIterator[None]:
        """Hold the lock, when it is this one's turn."""
        if self._taken:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(whose, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._pass_on()  # It was given, and isn't wanted any more.
                raise
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """Give it to the next who waits, of the tenant whose turn is longest ago."""
        while self._waiting:
            whose, queue = self._waiting.popitem(last=False)
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    if queue:
                        self._waiting[whose] = queue
                    turn.set_result(None)
                    return
        self._taken = False

    def __repr__(self) -> str:
        waiting = sum([len(queue) for queue in self._waiting.values()])
        return f"<Turns, {'taken' if self._taken else 'free'}, {waiting} waiting>"
