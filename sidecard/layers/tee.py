"""Tee: one stream and many readers, each at a place of its own.

What came is kept, so that who comes late reads from the start and then goes on live.
The stream is read a little ahead of the fastest reader, and no further; a slow one holds nobody.
"""

import asyncio
import sys
from typing import Final

from sidecard.core.event import Batch
from sidecard.core.reply import Reply

_AHEAD: Final = 2
"""Batches that may be there before they are asked for: so the next is on its way meanwhile."""


class Place:
    """A reader's place: how many batches it has taken."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position = 0


class Tee:
    """Filled by one task, read by any number of others within one event loop."""

    __slots__ = ("_ended", "_paused", "_until", "_waiting", "batches")

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._until = _AHEAD
        self._paused: asyncio.Future[None] | None = None
        self._waiting: dict[Place, asyncio.Future[None]] = {}
        self._ended = False

    async def fill(self, reply: Reply) -> None:
        """Read a reply to its end, as its readers need it; raises what breaks it."""
        try:
            async for batch in reply:
                self.batches.append(batch)
                wake(self._waiting)
                if len(self.batches) >= self._until and reply.outcome is None:
                    self._paused = asyncio.get_running_loop().create_future()
                    await self._paused
        finally:
            await reply.aclose()

    def end(self) -> None:
        """Tell the readers that nothing follows."""
        self._ended = True
        wake(self._waiting)

    async def take(self, place: Place) -> Batch | None:
        """Return the next batch for a reader, None when there will be none."""
        position = place.position
        while position == len(self.batches):
            if self._ended:
                return None
            turn = self._waiting[place] = asyncio.get_running_loop().create_future()
            await turn
        place.position = position + 1
        self._allow(position + 1 + _AHEAD)
        return self.batches[position]

    def want_all(self) -> None:
        """Have the stream read to its end, for one who can use nothing less."""
        self._allow(sys.maxsize)

    def forget(self, place: Place) -> None:
        """Hear that a reader has left."""
        self._waiting.pop(place, None)

    def _allow(self, until: int) -> None:
        if until > self._until:
            self._until = until
            if self._paused is not None and not self._paused.done():
                self._paused.set_result(None)

    def __repr__(self) -> str:
        return f"<Tee, {len(self.batches)} batches, {len(self._waiting)} waiting>"


def wake(waiting: dict[Place, asyncio.Future[None]]) -> None:
    """Let all go on who wait; one who was cancelled meanwhile finds out by itself."""
    for turn in waiting.values():
        if not turn.done():
            turn.set_result(None)
    waiting.clear()
