"""Writing a batch: room first, then rounds of records, and less when the map is full all the same.

Of the map, four fifths are for entries. The rest is for what LMDB needs beside them:
copies of pages, pages that are free but not yet to be used, and gaps too small for a value.
When that isn't enough, more goes, step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import lmdb

from sidecard.core.store import Entry
from sidecard.store import space
from sidecard.store.shelf import Shelf
from sidecard.store.trees import cost

Records = Sequence[tuple[bytes, Entry, bytes]]

_BUDGET: Final = 0.8
_SHARES: Final = (1.0, 0.85, 0.7, 0.5, 0.3)
_ROUND_SHARE: Final = 1 / 16


@dataclass(slots=True)
class Counts:
    """What became of entries; written by the thread alone."""

    written: int = 0
    dropped: int = 0
    expired: int = 0
    evicted: int = 0


class Writer:
    """Writes into shelves of one size."""

    def __init__(self, max_bytes: int, counts: Counts) -> None:
        self._budget = int(max_bytes * _BUDGET)
        self._counts = counts

    def write(self, shelf: Shelf, records: Records, wall: float) -> None:
        """Keep the records; raises `lmdb.Error`, of it `MapFullError` where nothing helps."""
        at = 0
        while at < len(records):
            end, needed = self._round(shelf, records, at)
            self._write(shelf, records[at:end], needed, wall)
            self._counts.written += end - at
            at = end

    def _round(self, shelf: Shelf, records: Records, at: int) -> tuple[int, int]:
        """Return where a round that begins at `at` ends, and what it takes, in bytes."""
        end, needed = at, 0
        for _, _, record in records[at : at + shelf.round]:
            size = cost(len(record), shelf.trees.page_bytes)
            if needed and needed + size > self._budget * _ROUND_SHARE:
                break
            end, needed = end + 1, needed + size
        return end, needed

    def _write(self, shelf: Shelf, records: Records, needed: int, wall: float) -> None:
        for share in _SHARES:
            try:
                room = int(self._budget * share)
                expired, evicted = space.make_room(shelf, needed, room, wall)
                self._counts.expired += expired
                self._counts.evicted += evicted
                if share < 1.0:
                    shelf.settle()
                shelf.write(records, wall)
            except lmdb.MapFullError:
                continue
            return
        raise lmdb.MapFullError("its map is full, whatever is removed")

    def __repr__(self) -> str:
        return f"<Writer, {self._budget:,} bytes, {self._counts}>"
