"""What lies between the event loop, which never waits, and the thread that writes.

Entries wait here until they are on disk, and are found here meanwhile:
who asks again the moment after an answer came must not pay for it twice.
An entry to be removed waits as None. What doesn't fit is dropped and counted.

The event loop alone puts and finds, and the thread alone takes and ends what it took.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from sidecard.core.store import Entry

MAX_ENTRIES: Final = 4096
MAX_TOUCHED: Final = 16_384
_OVERHEAD_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Job:
    """Something for the thread to do after what was put before it; `done` has the result."""

    run: Callable[[], int]
    done: "Future[int]"


class Desk:
    """Bounded by entries and by bytes, those being written included."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._called = threading.Event()
        self._hurried = threading.Event()
        self._waiting: dict[bytes, Entry | None] = {}
        self._leaving: dict[bytes, Entry | None] = {}
        self._waiting_bytes = self._leaving_bytes = 0
        self._touched: dict[bytes, int] = {}
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._leaving)

    def put(self, key: bytes, entry: Entry | None) -> bool:
        """Have it written soon; False where there is no room."""
        size = _size(entry)
        with self._lock:
            old = _size(self._waiting[key]) if key in self._waiting else 0
            total = self._waiting_bytes + self._leaving_bytes + size - old
            if total > self._max_bytes or (not old and len(self) >= MAX_ENTRIES):
                return False
            self._waiting[key] = entry
            self._waiting_bytes += size - old
        if not self._called.is_set():
            self._called.set()
        return True

    def find(self, key: bytes) -> tuple[bool, Entry | None]:
        """Return whether anything waits under the key, and what: None is to be removed."""
        for held in (self._waiting, self._leaving):  # In this order: `take` moves it that way.
            if key in held:
                return True, held[key]
        return False, None

    def touch(self, key: bytes, minute: int) -> None:
        """Take note that the entry was used in that minute of the wall clock, if there is room."""
        touched = self._touched
        if key in touched or len(touched) < MAX_TOUCHED:
            touched[key] = minute

    def ask(self, run: Callable[[], int]) -> "Future[int]":
        """Have the thread run something, at once, and return its result to come."""
        job = Job(run, Future())
        with self._lock:
            self._jobs.append(job)
        self.hurry()
        return job.done

    def hurry(self) -> None:
        """Wake the thread, out of its gathering too."""
        self._hurried.set()
        self._called.set()

    def wait(self, idle_s: float, gather_s: float) -> None:
        """Return when there is something to do, or after `idle_s`: what follows is gathered."""
        if self._called.wait(idle_s):
            self._hurried.wait(gather_s)
        self._called.clear()
        self._hurried.clear()

    def take(self) -> tuple[dict[bytes, Entry | None], list[Job]]:
        """Return what waits, to be found until `left`, and the jobs that came after it."""
        with self._lock:
            self._leaving = self._waiting
            self._waiting = {}
            self._leaving_bytes, self._waiting_bytes = self._waiting_bytes, 0
            jobs, self._jobs = self._jobs, []
            return self._leaving, jobs

    def take_touched(self) -> dict[bytes, int]:
        """Return which entries were used since the last time, and in which minute."""
        touched, self._touched = self._touched, {}
        return touched

    def left(self) -> None:
        """Forget what was taken: it is on disk now, or lost."""
        with self._lock:
            self._leaving = {}
            self._leaving_bytes = 0

    def __repr__(self) -> str:
        held = self._waiting_bytes + self._leaving_bytes
        return f"<Desk, {len(self)} waiting, {held:,} of {self._max_bytes:,} bytes>"


def do(job: Job) -> None:
    """Run a job, unless whoever asked has left; what it raises is theirs."""
    if job.done.set_running_or_notify_cancel():
        try:
            job.done.set_result(job.run())
        except Exception as error:  # noqa: BLE001  # it is raised where it was asked
            job.done.set_exception(error)


def _size(entry: Entry | None) -> int:
    return _OVERHEAD_BYTES + (0 if entry is None else len(entry.value))
