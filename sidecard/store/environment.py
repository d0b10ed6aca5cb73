"""One open LMDB environment, in a folder of its own.

LMDB keeps what it commits whole, whatever kills the process: pages are copied, never overwritten,
and a commit is the writing of one of two meta pages. Two things it doesn't survive itself.
A file that is shortened under its map kills the process that reads on,
so every read looks at the file's length first: half a microsecond.
And a tree that is broken makes it abort, so `audit.py` comes before it.
"""

import os
from pathlib import Path
from typing import Final

import lmdb

from sidecard.store.trees import MAX_TREES

DATA: Final = "data.mdb"
LOCKS: Final = "lock.mdb"


class Cut(Exception):
    """The file is shorter than it was: to read on would kill the process."""


class Environment:
    """`begin` may be called from any thread, all else from the one that writes."""

    def __init__(self, folder: Path, *, map_bytes: int) -> None:
        """Open or create; raises `lmdb.Error` or `OSError`."""
        self.file = folder / DATA
        self._descriptor = -1
        self._file_bytes = 0
        self.env = lmdb.open(
            os.fspath(folder),
            map_size=map_bytes,
            max_dbs=MAX_TREES,
            max_spare_txns=2,
            mode=0o600,
            metasync=False,  # A crash of the machine may take the last commit, as a whole.
            readahead=False,  # Reads go to random places.
            lib_version=0,  # The engine whose files `audit.py` knows.
        )
        try:
            self._descriptor = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
            self._identity = _identity(self.file)
        except BaseException:
            self.close()
            raise

    def begin(self, *, write: bool = False) -> "lmdb.Transaction[bytes]":
        """Begin a transaction; raises `lmdb.Error` or `Cut`."""
        if self._is_cut():
            raise Cut("its file was cut short")
        return self.env.begin(write=write)

    def trouble(self) -> str:
        """Return what has become of the file under its name, "" when it is still this one."""
        if self._is_cut():
            return "its file was cut short"
        found = _identity(self.file)
        if found is None:
            return "its file was removed"
        return "" if found == self._identity else "its file was replaced"

    def measure(self) -> None:
        """Take note of what the last commit made of the file."""
        self._file_bytes = os.lseek(self._descriptor, 0, os.SEEK_END)

    def close(self) -> None:
        """Unmap and close it: nothing may be read any more."""
        self.env.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_cut(self) -> bool:
        # First what is known, then the file: it may grow meanwhile, by the other thread.
        known = self._file_bytes
        return os.lseek(self._descriptor, 0, os.SEEK_END) < known

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.file}>"


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
