"""A ledger's book in a test: what its merges were given, and what it said."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sidecard.core.clock import SystemClock
from sidecard.core.ledger import (
    Balance,
    Holding,
    LedgerNote,
    Used,
)
from sidecard.store.ledger import DiskBook
from sidecard.store.ledger_keeper import LedgerPace

QUICK = LedgerPace(gather_s=0.002, retry_s=0.02, look_s=0.02, tidy_s=0.01)
FOREVER = 1 << 40
HOUR = 1_790_000_000 // 3600


def balance(spent: int, whose: str = "acme", start: int = 3600) -> Balance:
    return Balance("all; dollars", (whose,), start, spent, FOREVER)


def holding(number: int, amount: int = 100, whose: str = "acme") -> Holding:
    used = Used(whose, "default", "claude", guessed=1, nano_usd=amount)
    return Holding(number, (balance(amount, whose),), used)


class Kept:
    """A book, what its merges were given, and what it said; `all` is what memory knows."""

    def __init__(self, folder: Path, pace: LedgerPace = QUICK) -> None:
        self.folder = folder
        self.found: list[list[Balance]] = []
        self.all: list[Balance] = []
        self.said: list[LedgerNote] = []
        self.book = DiskBook(
            folder,
            merge=self._merge,
            clock=SystemClock(),
            say=self.said.append,
            keep_usage_s=1e9,
            pace=pace,
        )

    def _merge(self, kept: Sequence[Balance]) -> Iterable[Balance]:
        self.found.append(list(kept))
        self.all += kept
        return self.all

    def notes(self, kind: type) -> list[LedgerNote]:
        return [note for note in self.said if isinstance(note, kind)]

    async def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < end, self.said
            await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(folder: Path, pace: LedgerPace = QUICK) -> AsyncIterator[Kept]:
    """Open a book, and close it at the end."""
    kept = Kept(folder, pace)
    try:
        await kept.until(lambda: kept.book.why != "it is being opened")
        yield kept
    finally:
        await kept.book.aclose()


async def spent(folder: Path) -> dict[str, int]:
    """Return what the next process finds, by account."""
    async with opened(folder) as kept:
        return {found.values[0]: found.spent for found in kept.found[0]}
