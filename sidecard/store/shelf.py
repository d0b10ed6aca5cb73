"""The shelf: entries in an environment, read by the event loop, written by the thread."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecard.core.store import Entry
from sidecard.store.environment import Environment
from sidecard.store.trees import Trees, minute_of

if TYPE_CHECKING:
    import lmdb

_MAX_ROUND: Final = 512
_ROUNDS_A_MAP: Final = 64


class Shelf(Environment):
    """`read` is for the event loop's thread, all else for the thread that writes.

    `entries` is how many there are, as of the last commit.
    `round` is how many entries one transaction may put or remove:
    each may copy a page of each tree, and pages that are left come free two commits later,
    so that a round takes a twentieth of the map.
    """

    def __init__(self, folder: Path, *, map_bytes: int) -> None:
        """Open or create; raises `lmdb.Error`, `OSError` or `Foreign`."""
        super().__init__(folder, map_bytes=map_bytes)
        try:
            self.trees = Trees(self.env)
            pages = map_bytes // self.trees.page_bytes
            self.round = max(8, min(_MAX_ROUND, pages // _ROUNDS_A_MAP))
            self._measure()
        except BaseException:
            self.close()
            raise

    def read(self, key: bytes) -> bytes | None:
        """Return the record under the key; raises `lmdb.Error` or `Cut`."""
        txn = self.begin()
        try:
            return txn.get(key, db=self.trees.blobs)
        finally:
            txn.abort()

    @contextmanager
    def writing(self) -> "Iterator[lmdb.Transaction[bytes]]":
        """Begin a transaction that ends with the block, kept or forgotten as a whole."""
        used = self.trees.used
        try:
            with self.begin(write=True) as txn:
                yield txn
                self.trees.note_used(txn)
        except BaseException:
            self.trees.used = used
            raise
        self._measure()

    def write(self, records: Iterable[tuple[bytes, Entry, bytes]], now_wall: float) -> None:
        """Keep the records, all or none; raises `lmdb.Error` or `Cut`."""
        minute = minute_of(now_wall)
        with self.writing() as txn:
            for key, entry, record in records:
                self.trees.put(txn, key, record, entry, minute)

    def remove(self, keys: Iterable[bytes]) -> int:
        """Remove entries, round by round; return how many there were.

        Raises `lmdb.Error` or `Cut`.
        """
        waiting, gone = iter(keys), 0
        while some := list(islice(waiting, self.round)):
            with self.writing() as txn:
                gone += sum([self.trees.remove(txn, key) for key in some])
        return gone

    def touch(self, touched: Mapping[bytes, int]) -> None:
        """Take down in which minute entries were last used; raises `lmdb.Error` or `Cut`."""
        waiting = iter(touched.items())
        while some := list(islice(waiting, self.round)):
            with self.writing() as txn:
                for key, minute in some:
                    self.trees.touch(txn, key, minute)

    def seal(self, sealed: bytes) -> None:
        """Keep the secret of the names, sealed; raises `lmdb.Error` or `Cut`."""
        with self.writing() as txn:
            self.trees.note_sealed(txn, sealed)
        self.trees.sealed = sealed

    @property
    def sealed(self) -> bytes | None:
        """The secret of the names as it lies in the file."""
        return self.trees.sealed

    def settle(self) -> None:
        """Commit once more: pages that one commit leaves can be used by the one after the next."""
        with self.writing():
            pass

    @property
    def used(self) -> int:
        """What the entries take, in bytes."""
        return self.trees.used

    def _measure(self) -> None:
        with self.begin() as txn:
            self.entries = txn.stat(self.trees.blobs)["entries"]
        self.measure()

    def __repr__(self) -> str:
        return f"<Shelf {self.file}, {self.entries:,} entries, {self.used:,} bytes>"
