"""One open LMDB environment: read by the event loop, written by the thread.

LMDB keeps what it commits whole, whatever kills the process: pages are copied, never overwritten,
and a commit is the writing of one of two meta pages. Two things it doesn't survive itself.
A file that is shortened under its map kills the process that reads on,
so every read looks at the file's length first: half a microsecond.
And a tree that is broken makes it abort, so `audit.py` comes before `Shelf`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import lmdb

from sidecard.core.store import Entry
from sidecard.store.trees import MAX_TREES, Trees, minute_of

DATA: Final = "data.mdb"
_MAX_ROUND: Final = 512
_ROUNDS_A_MAP: Final = 64


class Cut(Exception):
    """The file is shorter than it was: to read on would kill the process."""


class Shelf:
    """`read` is for the event loop's thread, all else for the thread that writes.

    `entries` is how many there are, as of the last commit.
    `round` is how many entries one transaction may put or remove:
    each may copy a page of each tree, and pages that are left come free two commits later,
    so that a round takes a twentieth of the map.
    """

    def __init__(self, folder: Path, *, map_bytes: int) -> None:
        """Open or create; raises `lmdb.Error`, `OSError` or `Foreign`."""
        self.file = folder / DATA
        env = lmdb.open(
            os.fspath(folder),
            map_size=map_bytes,
            max_dbs=MAX_TREES,
            max_spare_txns=2,
            mode=0o600,
            metasync=False,  # A crash of the machine may take the last commit, as a whole.
            readahead=False,  # Reads go to random places.
            lib_version=0,  # The engine whose files `audit.py` knows.
        )
        self._descriptor = -1
        try:
            self.trees = Trees(env)
            self._descriptor = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
            self._identity = _identity(self.file)
            pages = map_bytes // self.trees.page_bytes
            self.round = max(8, min(_MAX_ROUND, pages // _ROUNDS_A_MAP))
            self._file_bytes = 0
            self._measure()
        except BaseException:
            self._close(env)
            raise

    def read(self, key: bytes) -> bytes | None:
        """Return the record under the key; raises `lmdb.Error` or `Cut`."""
        txn = self.begin()
        try:
            return txn.get(key, db=self.trees.blobs)
        finally:
            txn.abort()

    def begin(self, *, write: bool = False) -> "lmdb.Transaction[bytes]":
        """Begin a transaction; raises `lmdb.Error` or `Cut`."""
        if self._is_cut():
            raise Cut("its file was cut short")
        return self.trees.env.begin(write=write)

    def trouble(self) -> str:
        """Return what has become of the file under its name, "" when it is still this one."""
        if self._is_cut():
            return "its file was cut short"
        found = _identity(self.file)
        if found is None:
            return "its file was removed"
        return "" if found == self._identity else "its file was replaced"

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
        """Remove entries; return how many there were. Raises `lmdb.Error` or `Cut`."""
        with self.writing() as txn:
            return sum([self.trees.remove(txn, key) for key in keys])

    def touch(self, touched: Mapping[bytes, int]) -> None:
        """Take down in which minute entries were last used; raises `lmdb.Error` or `Cut`."""
        waiting = iter(touched.items())
        while some := list(islice(waiting, self.round)):
            with self.writing() as txn:
                for key, minute in some:
                    self.trees.touch(txn, key, minute)

    def settle(self) -> None:
        """Commit once more: pages that one commit leaves can be used by the one after the next."""
        with self.writing():
            pass

    @property
    def used(self) -> int:
        """What the entries take, in bytes."""
        return self.trees.used

    def _is_cut(self) -> bool:
        # First what is known, then the file: it may grow meanwhile, by the other thread.
        known = self._file_bytes
        return os.lseek(self._descriptor, 0, os.SEEK_END) < known

    def _measure(self) -> None:
        """Take note of what the last commit made of the file."""
        with self.begin() as txn:
            self.entries = txn.stat(self.trees.blobs)["entries"]
        self._file_bytes = os.lseek(self._descriptor, 0, os.SEEK_END)

    def close(self) -> None:
        """Unmap and close it: nothing may be read any more."""
        self._close(self.trees.env)

    def _close(self, env: lmdb.Environment) -> None:
        env.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def __repr__(self) -> str:
        return f"<Shelf {self.file}, {self.entries:,} entries, {self.used:,} bytes>"


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
