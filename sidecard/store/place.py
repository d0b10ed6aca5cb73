"""The folder of a store: one process has it, and what can't be used in it is set aside.

A lock of the kernel's on `owner.lock` says whose it is, so a killed process leaves none.
A second process on one folder works without: LMDB would let it share the file,
but not keep it from setting aside, clearing or replacing what the first has mapped.
Having the lock, whatever a killed process left in LMDB's own lock file is void.

Folder and files are for their owner alone: answers are personal data.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Generic, TypeVar

import lmdb

from sidecard.core.store import StoreSetAside
from sidecard.store.audit import audit
from sidecard.store.environment import DATA, LOCKS, Environment
from sidecard.store.trees import Foreign

_OWNER: Final = "owner.lock"
_ASIDE: Final = f"{DATA}.aside-"
_BROKEN: Final = (
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.IncompatibleError,
    lmdb.DbsFullError,
    Foreign,
)


Opened = TypeVar("Opened", bound=Environment)


class Taken(Exception):
    """Another process has the folder."""


class Place(Generic[Opened]):
    """For the thread that writes. `set_aside` counts the files that were.

    `make` opens what is to be found in the folder, in a map of so many bytes;
    it raises `lmdb.Error`, `OSError` or `Foreign`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        say: Callable[[StoreSetAside], None],
        make: Callable[[Path, int], Opened],
    ) -> None:
        self.folder = folder
        self._make = make
        self.max_bytes = max_bytes
        self._say = say
        self._lock = -1
        self.set_aside = 0

    @property
    def data(self) -> Path:
        """The data file."""
        return self.folder / DATA

    def size(self) -> int:
        """Return how many bytes the data file has, 0 where there is none to be seen."""
        try:
            return self.data.stat().st_size
        except OSError:
            return 0

    def open(self, wall: float, stop: Callable[[], bool]) -> Opened:
        """Return what is open, empty where nothing usable was found.

        `wall` names what is set aside. Raises `OSError`, `lmdb.Error`, `Taken` or `Stopped`.
        """
        self._own()
        data = self.data
        if why := self._unusable(data, stop):
            self._put_aside(data, why, wall)
        (self.folder / LOCKS).unlink(missing_ok=True)
        try:
            opened = self._make(self.folder, self.max_bytes)
        except _BROKEN as error:
            self._put_aside(data, str(error), wall)
            opened = self._make(self.folder, self.max_bytes)
        for name in (DATA, LOCKS):
            (self.folder / name).chmod(0o600)
        return opened

    def clear(self) -> None:
        """Remove all that is kept here, set aside or not; nothing may be open.

        Raises `OSError` or `Taken`.
        """
        self._own()
        (self.folder / DATA).unlink(missing_ok=True)
        self.forget_aside()

    def forget_aside(self) -> None:
        """Remove what was set aside: what is to be forgotten may be in it. Raises `OSError`."""
        for old in self.folder.glob(f"{_ASIDE}*"):
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()

    def free(self) -> str:
        """Say how much room the disk has: a write that was cut short is no better explained."""
        try:
            return f"; {shutil.disk_usage(self.folder).free:,} bytes are free"
        except OSError:
            return ""

    def release(self) -> None:
        """Let another process have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _own(self) -> None:
        """Make the folder, and have it for this process alone; raises `OSError` or `Taken`."""
        self.release()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._lock = os.open(self.folder / _OWNER, flags, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise Taken(f"another process works in {self.folder}") from None

    def _unusable(self, data: Path, stop: Callable[[], bool]) -> str:
        """Return why the file can't be used; a file that can be forgotten is removed."""
        if not os.path.lexists(data):
            return ""
        if not data.is_file():
            return "it is no regular file"
        size = data.stat().st_size
        if size == 0 or size > self.max_bytes:  # Never begun; or max_bytes was lowered.
            data.unlink()
            return ""
        return audit(self.folder, stop)

    def _put_aside(self, data: Path, why: str, wall: float) -> None:
        """Rename the file; only the newest is kept, so that they don't fill the disk."""
        self.forget_aside()
        moment = datetime.fromtimestamp(wall, UTC)
        aside = self.folder / f"{_ASIDE}{moment:%Y%m%dT%H%M%SZ}"
        data.rename(aside)
        self.set_aside += 1
        self._say(StoreSetAside(str(aside), why))

    def __repr__(self) -> str:
        return f"<Place {self.folder}, {'ours' if self._lock >= 0 else 'not ours'}>"
