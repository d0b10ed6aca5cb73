"""The thread that has the file: opens it, writes what waits, makes room, and mends.

LMDB has one writer, commits wait for the disk, and a folder can fail in many ways;
so all of that is here, in order, one thing after the other, and no call waits for it.
What the event loop does itself is to read: `read` is all that it needs of the file.

When the disk refuses, what is written already is still read, and writing is tried again later.
When the file itself is in doubt, it is closed and gone through anew, from the lock to the audit.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import lmdb

from sidecard.core.clock import Clock
from sidecard.core.store import (
    Entry,
    Purge,
    StoreChecking,
    StoreFailed,
    StoreKeysKept,
    StoreOpened,
    StoreOut,
    StoreSink,
)
from sidecard.store import sealing, space
from sidecard.store.audit import Stopped
from sidecard.store.cipher import BadKeyFile
from sidecard.store.codec import Codec
from sidecard.store.desk import Desk, do
from sidecard.store.environment import Cut
from sidecard.store.place import Place, Taken
from sidecard.store.shelf import Shelf
from sidecard.store.write import Counts, Writer

OPENING: Final = "it is being opened"
_SWEEP_ROUNDS: Final = 4
_LARGE_BYTES: Final = 64 << 20
"""What takes a second to be checked, and is told."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are done, in seconds.

    `gather_s` is how long the first of some entries waits for others to be written with it;
    `retry_s` the time between two tries to open or to write, `look_s` between two looks at the file
    when nothing else is done; `tidy_s` between two sweeps for what has been expired long enough;
    `touch_s` between two notes of what was used.
    """

    gather_s: float = 0.05
    retry_s: float = 5.0
    look_s: float = 5.0
    tidy_s: float = 10.0
    touch_s: float = 60.0


class Keeper:
    """Owns place and shelf. The event loop calls `read` and `close` and looks at the numbers.

    `keep_expired_s` may be set at any time, and counts from the next tidying on.
    `why` says what keeps entries from being written, "" when nothing does.
    `changes` grows with whatever may change what `read` returns, before anybody is told of it.
    """

    def __init__(
        self,
        place: Place[Shelf],
        desk: Desk,
        codec: Codec,
        *,
        keep_expired_s: float,
        clock: Clock,
        say: StoreSink,
        pace: Pace,
    ) -> None:
        self._place = place
        self._desk = desk
        self._codec = codec
        self.keep_expired_s = keep_expired_s
        self._clock = clock
        self._say = say
        self._pace = pace
        self._shelf: Shelf | None = None
        self._guard = threading.Lock()
        self._doubt = ""
        self._retry_at = self._tidy_at = float("-inf")
        self._touch_at = clock.now() + pace.touch_s
        self._closing = False
        self._told = False
        self.why = OPENING
        self.entries = self.bytes = self.changes = 0
        self.counts = Counts()
        self._writer = Writer(place.max_bytes, self.counts)
        self.ended: Future[None] = Future()
        threading.Thread(target=self._run, name="store", daemon=True).start()

    def read(self, key: bytes) -> tuple[bytes, bytes] | None:
        """Return what the key is called in the file, and the record that lies there.

        None where there is none or it can't be read.
        """
        with self._guard:  # So that the file isn't unmapped meanwhile.
            shelf = self._shelf
            if shelf is None or self._doubt:
                return None
            name = shelf.trees.names.key(key)
            try:
                record = shelf.read(name)
            except (lmdb.Error, Cut) as error:
                self._doubt = str(error)
            else:
                return None if record is None else (name, record)
        self._desk.hurry()
        return None

    def close(self) -> None:
        """Have the thread write what waits, and end; `ended` tells when."""
        self._closing = True
        self._desk.hurry()

    def purge(self, which: Purge) -> int:
        """Remove entries; for the thread, as a job. Raises `StoreFailed`."""
        try:
            if which.everything:
                return self._clear()
            if self._shelf is None:
                raise StoreFailed(self.why)
            self._place.forget_aside()
            return space.purge(self._shelf, which)
        except (lmdb.Error, OSError, Taken, Cut) as error:
            self._fail(error)
            raise StoreFailed(str(error)) from error
        finally:
            self._count()

    def _run(self) -> None:
        while not self._closing:
            self._round()
            idle_s = min(self._pace.look_s, self._pace.retry_s) if self.why else self._pace.look_s
            self._desk.wait(idle_s, self._pace.gather_s)
        self._round()
        self._withdraw()
        self._place.release()
        self.ended.set_result(None)

    def _round(self) -> None:
        try:
            self._look()
        except Exception as error:  # noqa: BLE001  # the thread must outlive a mistake in it
            self._fail(error)
        batch, jobs = self._desk.take()
        try:
            self._commit(batch)
        except Exception as error:  # noqa: BLE001  # as above
            self._fail(error)
        self._count()
        self._desk.left()
        for job in jobs:
            do(job)
        try:
            self._tidy()
        except Exception as error:  # noqa: BLE001  # as above
            self._fail(error)
        self._count()

    def _count(self) -> None:
        self.changes += 1
        if self._shelf is not None:
            self.entries, self.bytes = self._shelf.entries, self._shelf.used

    def _look(self) -> None:
        """Have a shelf that can be trusted, if that is to be had now."""
        if self._shelf is not None and (doubt := self._doubt or self._shelf.trouble()):
            self._withdraw()
            self._out(doubt)
        if self._shelf is None and self._clock.now() >= self._retry_at:
            self._retry_at = self._clock.now() + self._pace.retry_s
            self._open()

    def _open(self) -> None:
        if not self._told and (size := self._place.size()) >= _LARGE_BYTES:
            self._say(StoreChecking(str(self._place.data), size))
        try:
            shelf = self._place.open(self._clock.wall(), lambda: self._closing)
        except Stopped:
            return
        with self._guard:
            self._shelf, self._doubt = shelf, ""
        self._usable(shelf)

    def _commit(self, batch: Mapping[bytes, Entry | None]) -> None:
        shelf = self._shelf
        entries = {key: entry for key, entry in batch.items() if entry is not None}
        if shelf is None or (self.why and self._clock.now() < self._retry_at):
            self.counts.dropped += len(entries)
            return
        if not batch:
            return
        before, called = self.counts.written, shelf.trees.names.key
        try:
            if gone := [called(key) for key, entry in batch.items() if entry is None]:
                shelf.remove(gone)
            named = [(called(key), entry) for key, entry in entries.items()]
            records = [(name, entry, self._codec.pack(name, entry)) for name, entry in named]
            self._writer.write(shelf, records, self._clock.wall())
        except lmdb.MapFullError:
            self.counts.evicted += self._clear()
        finally:
            self.counts.dropped += len(entries) - (self.counts.written - before)
        self._usable(shelf)

    def _tidy(self) -> None:
        now, shelf = self._clock.now(), self._shelf
        if now >= self._tidy_at:
            self._tidy_at = now + self._pace.tidy_s
            try:
                self._codec.refresh()
            except BadKeyFile as error:
                self._say(StoreKeysKept(str(error)))
            if shelf is not None and not self.why:
                sealing.renew(shelf, self._codec.cipher)
                limit = self._clock.wall() - self.keep_expired_s
                gone = space.drop_expired(shelf, limit, rounds=_SWEEP_ROUNDS)
                self.counts.expired += gone
        if shelf is not None and not self.why and (now >= self._touch_at or self._closing):
            self._touch_at = now + self._pace.touch_s
            if touched := self._desk.take_touched():
                called = shelf.trees.names.key
                shelf.touch({called(key): minute for key, minute in touched.items()})

    def _clear(self) -> int:
        """Begin a new file; return how many entries the old one had."""
        held = 0 if self._shelf is None else self._shelf.entries
        self._withdraw()
        self._place.clear()
        self._open()
        return held

    def _withdraw(self) -> None:
        with self._guard:
            shelf, self._shelf = self._shelf, None
        self.entries = self.bytes = 0
        if shelf is not None:
            shelf.close()

    def _fail(self, error: Exception) -> None:
        """Go on without writing; without reading, too, if it may be the file's fault."""
        refused = isinstance(error, OSError) or (isinstance(error, lmdb.Error) and error.code > 0)
        if not refused:
            self._withdraw()
        self._retry_at = self._clock.now() + self._pace.retry_s
        self._out((str(error) or repr(error)) + (self._place.free() if refused else ""))

    def _usable(self, shelf: Shelf) -> None:
        if self.why:
            self.why, self._told = "", False
            self._say(StoreOpened(str(shelf.file), shelf.entries))

    def _out(self, why: str) -> None:
        self.why = why
        if not self._told:
            self._told = True
            self._say(StoreOut(str(self._place.folder), why))

    def __repr__(self) -> str:
        return f"<Keeper of {self._place.folder}, {self.why or f'{self.entries:,} entries'}>"
