"""The thread that has the ledger's file: opens it, writes what waits, and goes on when it can't.

The first time that it opens the file it hands over what is spent; from then on memory knows best:
whenever a file has been out of use, all that is known is written into it anew.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import lmdb

from sidecard.core.clock import Clock
from sidecard.core.ledger import (
    Balance,
    Holding,
    LedgerFailed,
    LedgerOpened,
    LedgerOut,
    LedgerSink,
    LeftOpen,
)
from sidecard.store.audit import Stopped
from sidecard.store.ledger_desk import Batch, LedgerDesk
from sidecard.store.ledger_file import LedgerFile
from sidecard.store.place import Place

OPENING: Final = "it is being opened"
_MERGE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class LedgerPace:
    """How often things are done, in seconds, as with `keeper.Pace`."""

    gather_s: float = 0.05
    retry_s: float = 5.0
    look_s: float = 1.0
    tidy_s: float = 60.0


class LedgerKeeper:
    """Owns the place and the file.

    `merge` has the event loop take what was kept, and restate all at the desk;
    `written` is told of each batch, and why it wasn't, from this thread.
    """

    def __init__(
        self,
        place: Place[LedgerFile],
        desk: LedgerDesk,
        *,
        merge: Callable[[list[Balance]], "Future[None]"],
        written: Callable[[Batch, str], None],
        keep_usage_s: float,
        clock: Clock,
        say: LedgerSink,
        pace: LedgerPace,
    ) -> None:
        self._place = place
        self._desk = desk
        self._merge = merge
        self._written = written
        self._keep_usage_s = keep_usage_s
        self._clock = clock
        self._say = say
        self._pace = pace
        self._file: LedgerFile | None = None
        self._loaded = self._closing = self._told = False
        self._left_open = 0
        self.left_open = LeftOpen()
        self._retry_at = float("-inf")
        self._tidy_at = clock.now() + pace.tidy_s
        self.why = OPENING
        self.ended: Future[None] = Future()
        threading.Thread(target=self._run, name="ledger", daemon=True).start()

    def close(self) -> None:
        """Have the thread write what waits, and end; `ended` tells when."""
        self._closing = True
        self._desk.hurry()

    @property
    def file(self) -> LedgerFile:
        """The file, for a job of the thread; raises `LedgerFailed` where there is none."""
        if self._file is None:
            raise LedgerFailed(self.why)
        return self._file

    def release_left(self) -> list[Holding]:
        """Take what was left open out of the file, for a job of the thread."""
        if self.why:
            raise LedgerFailed(self.why)
        released = self.file.release_left()
        self.left_open = self.file.left_open()
        return released

    def _run(self) -> None:
        while not self._closing:
            self._round()
            self._desk.wait(min(self._pace.look_s, self._pace.retry_s), self._pace.gather_s)
        self._round()
        self._withdraw()
        self._place.release()
        self.ended.set_result(None)

    def _round(self) -> None:
        try:
            self._look()
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001  # the thread must outlive a mistake in it
            self._fail(error)
        batch, jobs = self._desk.take()
        try:
            self._commit(batch)
        except Exception as error:  # noqa: BLE001  # as above
            self._fail(error)
            self._lose(batch)
        for job in jobs:
            if job.done.set_running_or_notify_cancel():
                try:
                    job.done.set_result(job.run())
                except Exception as error:  # noqa: BLE001  # it is raised where it was asked
                    job.done.set_exception(error)
        try:
            self._tidy()
        except Exception as error:  # noqa: BLE001  # as above
            self._fail(error)

    def _look(self) -> None:
        """Have a file that can be trusted, with all that is known in it, if that is to be had."""
        if self._file is not None and (doubt := self._file.trouble()):
            self._withdraw()
            self._out(doubt)
        now = self._clock.now()
        if not self.why or now < self._retry_at:
            return
        self._retry_at = now + self._pace.retry_s
        if self._file is None:
            self._file = self._place.open(self._clock.wall(), lambda: self._closing)
        kept: list[Balance] = []
        if not self._loaded:
            kept, self._left_open = self._file.take_over(self._clock.wall())
        self.left_open = self._file.left_open()
        self._restate(kept)

    def _restate(self, kept: list[Balance]) -> None:
        done = self._merge(kept)
        try:
            done.result(_MERGE_S)
        except TimeoutError:
            if done.cancel():
                raise LedgerFailed("the event loop is busy") from None
            done.result()
        self._loaded = True

    def _commit(self, batch: Batch) -> None:
        if self._file is None or (self.why and not batch.anew):
            self._lose(batch)
            return
        if batch.empty:
            return
        self._file.commit(batch)
        if self.why:
            self.why, self._told = "", False
            self._say(LedgerOpened(str(self._file.file), self._left_open))
            self._left_open = 0
        self._written(batch, "")

    def _lose(self, batch: Batch) -> None:
        self._desk.give_back(batch)
        self._written(batch, self.why)

    def _tidy(self) -> None:
        now = self._clock.now()
        if self._file is not None and not self.why and now >= self._tidy_at:
            self._tidy_at = now + self._pace.tidy_s
            self._file.tidy(self._clock.wall(), self._keep_usage_s)

    def _withdraw(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _fail(self, error: Exception) -> None:
        """Go on without writing; anew from the lock on, unless it is the disk that refuses."""
        refused = isinstance(error, OSError | lmdb.MapFullError | LedgerFailed) or (
            isinstance(error, lmdb.Error) and error.code > 0
        )
        if not refused:
            self._withdraw()
        self._retry_at = self._clock.now() + self._pace.retry_s
        self._out((str(error) or repr(error)) + (self._place.free() if refused else ""))

    def _out(self, why: str) -> None:
        self.why = why
        if not self._told:
            self._told = True
            self._say(LedgerOut(str(self._place.folder), why))

    def __repr__(self) -> str:
        return f"<LedgerKeeper of {self._place.folder}, {self.why or 'open'}>"
