"""A store on disk: what the event loop sees of it.

Reads are done where they are asked, as that is what they cost: microseconds from memory,
and a page fault or a few from an SSD. Writes are handed to a thread of their own.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from sidecard.core.clock import Clock
from sidecard.core.store import Entry, Purge, Stored, StoreSink, StoreStats
from sidecard.store.cipher import Cipher
from sidecard.store.codec import Codec, Damaged, Unreadable
from sidecard.store.desk import Desk
from sidecard.store.keeper import Keeper, Pace
from sidecard.store.place import Place
from sidecard.store.sealing import open_shelf
from sidecard.store.shelf import Shelf
from sidecard.store.trees import minute_of

MIN_BYTES: Final = 4 * 1024 * 1024
_MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
_CLOSE_S: Final = 5.0
_LATELY: Final = 256
_LATELY_BYTES: Final = 16_384
"""What was read last is kept as long as nothing is written: so many, of so many bytes at most.
Measured, that saves a twentieth of a hit."""
_MAX_VOID: Final = 65_536
"""Keys whose removal has no room to wait in yet: 6 MB."""


class DiskStore:
    """A `Store` in a folder of its own, which it makes. It opens while the daemon serves already.

    The file never exceeds `max_bytes`, at least 4 MiB; no more is mapped, and no other memory used
    than for what waits, 8 MiB or an eighth of `max_bytes`, and 4 MiB for what was read last.
    A value is half of what may wait at most.
    What has been expired for `keep_expired_s` seconds is removed, in time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        clock: Clock,
        say: StoreSink,
        keep_expired_s: float = 0.0,
        cipher: Cipher | None = None,
        pace: Pace | None = None,
    ) -> None:
        if max_bytes < MIN_BYTES:
            raise ValueError(f"max_bytes is {max_bytes:,}, the least is {MIN_BYTES:,}")
        self._waiting_bytes = min(_MAX_WAITING_BYTES, max_bytes // 8)
        self._codec = Codec(cipher)
        self._place = Place(folder, max_bytes=max_bytes, say=say, make=self._shelf)
        self._desk = Desk(self._waiting_bytes)
        self._keeper = Keeper(
            self._place,
            self._desk,
            self._codec,
            keep_expired_s=keep_expired_s,
            clock=clock,
            say=say,
            pace=pace or Pace(),
        )
        self._dropped = self._damaged = self._unreadable = 0
        self._void: dict[bytes, None] = {}
        self._lately: dict[bytes, Stored] = {}
        self._lately_of = 0

    @property
    def keep_expired_s(self) -> float:
        """How long what has expired is kept."""
        return self._keeper.keep_expired_s

    @keep_expired_s.setter
    def keep_expired_s(self, keep_expired_s: float) -> None:
        self._keeper.keep_expired_s = keep_expired_s

    def get(self, key: bytes, now_wall: float) -> Stored | None:
        """Return what waits or is on disk; a record that is damaged is removed, and a miss."""
        if key in self._void:
            if self._desk.put(key, None):
                del self._void[key]
            return None
        waits, entry = self._desk.find(key)
        if waits:
            if entry is None:
                return None
            return Stored(entry.value, entry.created_at, entry.expires_at)
        stored = self._read(key)
        if stored is not None:
            self._desk.touch(key, minute_of(now_wall))
        return stored

    def _read(self, key: bytes) -> Stored | None:
        lately, changes = self._lately, self._keeper.changes  # As of before it is read.
        if changes != self._lately_of:
            lately.clear()
            self._lately_of = changes
        if (stored := lately.get(key)) is not None:
            return stored
        found = self._keeper.read(key)
        stored = self._unpacked(key, *found) if found is not None else None
        if stored is not None and len(stored.value) <= _LATELY_BYTES:
            lately[key] = stored
            if len(lately) > _LATELY:
                del lately[next(iter(lately))]
        return stored

    def _unpacked(self, key: bytes, name: bytes, record: bytes) -> Stored | None:
        try:
            return self._codec.unpack(name, record)
        except Damaged:
            self._damaged += 1
            self._desk.put(key, None)
        except Unreadable:
            self._unreadable += 1
        return None

    def put(self, key: bytes, entry: Entry) -> None:
        """Hand it to the thread, or drop it: it is too large, or too much waits already."""
        if len(entry.value) <= self._waiting_bytes // 2 and self._desk.put(key, entry):
            self._void.pop(key, None)
            return
        self._dropped += 1
        # What is there under the key is older than what was dropped, and not to be given again.
        if not self._desk.put(key, None):
            self._void[key] = None
            if len(self._void) > _MAX_VOID:
                del self._void[next(iter(self._void))]

    async def flush(self) -> None:
        """Return when the thread has done what it was handed before."""
        await asyncio.wrap_future(self._desk.ask(lambda: 0))

    async def purge(self, which: Purge) -> int:
        """Remove entries, and what was set aside with them; everything means the file itself.

        Bytes of single entries stay in pages of the file that are free, until they are used again.
        """
        return await asyncio.wrap_future(self._desk.ask(lambda: self._keeper.purge(which)))

    def stats(self) -> StoreStats:
        """Return what it holds."""
        keeper, counts = self._keeper, self._keeper.counts
        return StoreStats(
            kind="disk",
            why=keeper.why,
            entries=keeper.entries,
            bytes=keeper.bytes,
            max_bytes=self._place.max_bytes,
            queued=len(self._desk),
            written=counts.written,
            dropped=counts.dropped + self._dropped,
            expired=counts.expired,
            evicted=counts.evicted,
            damaged=self._damaged,
            unreadable=self._unreadable,
            set_aside=self._place.set_aside,
        )

    async def aclose(self) -> None:
        """Have the thread write what waits and end, for five seconds at most."""
        self._keeper.close()
        with contextlib.suppress(TimeoutError):
            ended = asyncio.wrap_future(self._keeper.ended)
            await asyncio.wait_for(asyncio.shield(ended), _CLOSE_S)

    def _shelf(self, folder: Path, map_bytes: int) -> Shelf:
        return open_shelf(folder, map_bytes, self._codec.cipher)

    def __repr__(self) -> str:
        return f"<DiskStore, {self._keeper!r}, {self._desk!r}>"
