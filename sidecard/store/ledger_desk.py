"""What lies between the event loop and the thread that writes the ledger: one batch that grows.

A batch takes what happened together: what was opened and closed within it isn't in it at all,
and of an account it has the last balance alone. So it is bounded by accounts and open attempts,
and it is small under load, too.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sidecard.core.ledger import Balance, Holding, Used
from sidecard.policy.accounts import OTHERS

if TYPE_CHECKING:
    import asyncio

_KEYS_AN_HOUR: Final = 5_000
_MOST_KEYS: Final = 50_000
"""While nothing can be written, hour upon hour gathers here."""


class UsageKey(NamedTuple):
    """Whose use it is, and in which hour since the Unix epoch."""

    hour: int
    tenant: str
    route: str
    model: str

    def others(self) -> "UsageKey":
        """Return what those of its hour are under that come late."""
        return UsageKey(self.hour, OTHERS, OTHERS, OTHERS)


class UsageKeys:
    """What use is counted under. Callers choose tenants, and may choose any number of them."""

    def __init__(self) -> None:
        self._hour = 0
        self._keys: set[UsageKey] = set()

    def of(self, used: Used, wall: float) -> UsageKey:
        """Return its key, which is `OTHERS` for those that come late in an hour of too many."""
        hour = int(wall) // 3600
        if hour != self._hour:
            self._hour = hour
            self._keys.clear()
        key = UsageKey(hour, used.tenant, used.route, used.model)
        if key not in self._keys:
            if len(self._keys) >= _KEYS_AN_HOUR:
                return key.others()
            self._keys.add(key)
        return key


@dataclass(slots=True)
class Batch:
    """What is written in one transaction. With `anew` it replaces all that is spent and open.

    `waiters` are those whose attempts are sent when it is written.
    """

    opened: dict[int, Holding] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    balances: dict[tuple[str, tuple[str, ...], int], Balance] = field(default_factory=dict)
    used: dict[UsageKey, Used] = field(default_factory=dict)
    waiters: list["asyncio.Future[None]"] = field(default_factory=list)
    anew: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.opened or self.closed or self.balances or self.used or self.anew)


class Job(NamedTuple):
    """Something for the thread to do after what was told before it."""

    run: Callable[[], Any]
    done: "Future[Any]"


class LedgerDesk:
    """The event loop puts, the thread takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._called = threading.Event()
        self._hurried = threading.Event()
        self._batch = Batch()
        self._jobs: list[Job] = []
        self._keys = UsageKeys()

    def open(self, holding: Holding, waiter: "asyncio.Future[None]") -> None:
        """Have an attempt written down at once."""
        with self._lock:
            self._batch.opened[holding.number] = holding
            self._batch.waiters.append(waiter)
        self.hurry()

    def close(
        self, number: int, balances: Iterable[Balance], used: Used | None, wall: float
    ) -> None:
        """Have an attempt struck out, in a while."""
        with self._lock:
            batch = self._batch
            if batch.opened.pop(number, None) is None or batch.anew:
                batch.closed.add(number)
            for balance in balances:
                batch.balances[balance.identity, balance.values, balance.start] = balance
            if used is not None:
                self._use(self._keys.of(used, wall), used)
        if not self._called.is_set():
            self._called.set()

    def record(self, used: Used, wall: float) -> None:
        """Have it written with what comes next, or when the thread looks anyway."""
        with self._lock:
            self._use(self._keys.of(used, wall), used)

    def restate(self, balances: Iterable[Balance], opened: Mapping[int, Holding]) -> None:
        """Have all that is known written in place of what is kept."""
        with self._lock:
            batch = self._batch
            batch.anew = True
            batch.closed.clear()
            batch.opened = dict(opened)
            batch.balances = {(b.identity, b.values, b.start): b for b in balances}

    def give_back(self, batch: Batch) -> None:
        """Keep the use that a batch had which wasn't written; the rest will be restated."""
        with self._lock:
            # What came meanwhile is less than what gathers there while the disk is away.
            came, self._batch.used = self._batch.used, batch.used
            for key, used in came.items():
                self._use(key, used)

    def ask(self, run: Callable[[], Any]) -> "Future[Any]":
        """Have the thread run something, and return its result to come."""
        job = Job(run, Future())
        with self._lock:
            self._jobs.append(job)
        self.hurry()
        return job.done

    def take(self) -> tuple[Batch, list[Job]]:
        """Return what there is to write, and the jobs that came after it."""
        with self._lock:
            batch, self._batch = self._batch, Batch()
            jobs, self._jobs = self._jobs, []
            return batch, jobs

    def hurry(self) -> None:
        """Wake the thread, out of its gathering too."""
        self._hurried.set()
        self._called.set()

    def wait(self, idle_s: float, gather_s: float) -> None:
        """Return when somebody waits, a while after anything else, or after `idle_s`."""
        if self._called.wait(idle_s):
            self._hurried.wait(gather_s)
        self._called.clear()
        self._hurried.clear()

    def _use(self, key: UsageKey, used: Used) -> None:
        rows = self._batch.used
        if key not in rows and len(rows) >= _MOST_KEYS:
            key = key.others()
        before = rows.get(key)
        rows[key] = Used(*key[1:], *used.counts) if before is None else before.plus(used)

    def __repr__(self) -> str:
        return f"<LedgerDesk, {len(self._batch.waiters)} waiting>"
