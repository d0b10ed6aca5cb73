"""A disk store to test, which keeps what it said."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sidecard.core.store import StoreNote
from sidecard.store.cipher import Cipher
from sidecard.store.disk import DiskStore
from sidecard.store.keeper import Pace
from tests.store.conformance import MAX_BYTES
from tests.support.clock import ManualClock

QUICK = Pace(gather_s=0.002, retry_s=0.02, look_s=0.02, tidy_s=0.02, touch_s=0.02)
PATIENCE_S = 20.0


class RealNow(ManualClock):
    """Time goes by as it does; the wall stands still until told."""

    def now(self) -> float:
        return time.monotonic()


class Disk:
    """The store, its clock and its notes."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = MAX_BYTES,
        keep_expired_s: float = 3600,
        cipher: Cipher | None = None,
        pace: Pace = QUICK,
    ) -> None:
        self.folder = folder
        self.clock = RealNow()
        self.notes: list[StoreNote] = []
        self.store = DiskStore(
            folder,
            max_bytes=max_bytes,
            clock=self.clock,
            say=self.notes.append,
            keep_expired_s=keep_expired_s,
            cipher=cipher,
            pace=pace,
        )

    @property
    def data(self) -> Path:
        return self.folder / "data.mdb"

    @property
    def aside(self) -> list[Path]:
        return sorted(self.folder.glob("data.mdb.aside-*"))

    def said(self, kind: type) -> list[StoreNote]:
        return [note for note in self.notes if isinstance(note, kind)]

    async def touched(self) -> None:
        """Wait until the thread has noted what was used."""
        await self.until(lambda: not self.store._desk._touched)
        await self.store.flush()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the thread is to bring about."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, (self.store, self.notes)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(disk: Disk) -> AsyncIterator[Disk]:
    """Have the store open, and closed in the end."""
    try:
        await disk.store.flush()
        yield disk
    finally:
        await disk.store.aclose()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes: holds for root, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
