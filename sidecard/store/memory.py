"""A store in memory: for a daemon without a `data_dir`. It ends with the process."""

from collections import OrderedDict
from typing import Final

from sidecard.core.store import Entry, Purge, Stored, StoreStats

_OVERHEAD_BYTES: Final = 512


class MemoryStore:
    """A `Store` of `max_bytes` at most, values and what they take besides.

    When it is full, the entry goes that was used longest ago, whether it has expired or not.
    What has been expired for `keep_expired_s` seconds is a miss, and goes when it is met.
    """

    def __init__(self, *, max_bytes: int, keep_expired_s: float = 0.0) -> None:
        self._max_bytes = max_bytes
        self.keep_expired_s = keep_expired_s
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._bytes = 0
        self._written = self._dropped = self._expired = self._evicted = 0

    def get(self, key: bytes, now_wall: float) -> Stored | None:
        """Return what was put under the key."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at + self.keep_expired_s < now_wall:
            self._expired += 1
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return Stored(entry.value, entry.created_at, entry.expires_at)

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep the entry, and let go of others if need be."""
        self._remove(key)
        size = _size(entry)
        if size > self._max_bytes // 2:
            self._dropped += 1
            return
        self._entries[key] = entry
        self._bytes += size
        self._written += 1
        while self._bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))
            self._evicted += 1

    async def flush(self) -> None:
        """Return at once: nothing waits."""

    async def purge(self, which: Purge) -> int:
        """Remove entries."""
        meant = [key for key, entry in self._entries.items() if _meant(which, entry)]
        for key in meant:
            self._remove(key)
        return len(meant)

    def stats(self) -> StoreStats:
        """Return what it holds."""
        return StoreStats(
            kind="memory",
            why="",
            entries=len(self._entries),
            bytes=self._bytes,
            max_bytes=self._max_bytes,
            queued=0,
            written=self._written,
            dropped=self._dropped,
            expired=self._expired,
            evicted=self._evicted,
        )

    async def aclose(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(entry)

    def __repr__(self) -> str:
        return f"<MemoryStore, {len(self._entries):,} entries, {self._bytes:,} bytes>"


def _size(entry: Entry) -> int:
    return _OVERHEAD_BYTES + len(entry.value)


def _meant(which: Purge, entry: Entry) -> bool:
    """Return whether all that `which` says applies to the entry."""
    return (
        which.tenant in (None, entry.tenant)
        and which.route in (None, entry.route)
        and (which.created_before is None or entry.created_at < which.created_before)
    )
