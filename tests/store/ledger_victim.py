"""A process that spends until it is killed, and tells what the upstream would bill it for."""

import asyncio
import os
import random
import struct
from collections.abc import Iterable, Sequence
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from sidecard.core.clock import SystemClock
from sidecard.core.ledger import Balance, Holding, LedgerNote, Used
from sidecard.policy.budget import Amounts, Budget, Facts, Scope, Unit
from sidecard.policy.budget_window import Calendar, Per, Rolling
from sidecard.policy.ledger import Ledger, Reservation
from sidecard.store.ledger import DiskBook
from sidecard.store.ledger_keeper import LedgerPace

WORST: Final = 1_000
TENANTS: Final = 3
CALLERS: Final = 4
_BILL: Final = struct.Struct("<q")
_BUDGETS: Final = (
    Budget("money", Unit.DOLLARS, 1 << 50, Calendar(Per.MONTH, ZoneInfo("UTC"))),
    Budget("own", Unit.DOLLARS, 1 << 50, Rolling(Per.MONTH), Scope(tenant="*")),
)


class _Then(SystemClock):
    """A clock that stands some seconds after one day of a month: no window ends under a test."""

    def __init__(self, after_s: int) -> None:
        self._after_s = after_s

    def wall(self) -> float:
        return 1_790_000_000.0 + self._after_s


class Books:
    """A ledger whose budgets outlive it, as the daemon has one."""

    def __init__(self, folder: Path, after_s: int) -> None:
        self.clock = _Then(after_s)
        self.ledger = Ledger(_BUDGETS)
        self.said: list[LedgerNote] = []
        self.book = DiskBook(
            folder,
            merge=self._merge,
            clock=self.clock,
            say=self.said.append,
            keep_usage_s=1e9,
            pace=LedgerPace(gather_s=0.002, tidy_s=0.01),
        )

    def _merge(self, kept: Sequence[Balance]) -> Iterable[Balance]:
        self.ledger.load(kept, self.clock.wall())
        return [*self.ledger.balances(), *self.ledger.foreign]

    def spent(self) -> dict[str, int]:
        """Return what is spent, by budget."""
        sums = dict.fromkeys([budget.name for budget in _BUDGETS], 0)
        for standing in self.ledger.standings(self.clock.wall()):
            sums[standing.budget.name] += standing.spent
        return sums

    async def reserved(self, tenant: str) -> Reservation:
        """Set an attempt's worst case aside, and write it down."""
        facts = Facts(tenant, "default", {})
        found = self.ledger.reserve(facts, Amounts(WORST, 1), self.clock.wall())
        assert isinstance(found, Reservation)
        amounts = tuple(
            [
                Balance(budget.identity, own.values, slot.span.start, amount, own.until(slot))
                for budget, own, slot, amount in found.charges
            ]
        )
        used = Used(tenant, "default", "claude", guessed=1, nano_usd=WORST)
        await self.book.reserved(Holding(found.number, amounts, used))
        return found

    def settle(self, reservation: Reservation, tenant: str, cost: int) -> None:
        """Say what it cost."""
        balances = self.ledger.settle(reservation, Amounts(cost, 1))
        used = Used(tenant, "default", "claude", nano_usd=cost)
        self.book.ended(reservation.number, balances, used)

    def release(self, reservation: Reservation) -> None:
        """Say that it cost nothing."""
        self.ledger.release(reservation)
        self.book.ended(reservation.number, (), None)


def bills(pipe: int) -> list[int]:
    """Return what a process that has ended was billed, attempt by attempt."""
    data = b""
    while part := os.read(pipe, 1 << 16):
        data += part
    return [bill for (bill,) in _BILL.iter_unpack(data)]


def main(folder: Path, seed: int, billing: Connection, opened: Connection) -> None:
    """Spend as the seed says, after having told that the ledger is open."""
    asyncio.run(_spend(folder, seed, opened, billing.fileno()))


async def _spend(folder: Path, seed: int, opened: Connection, billing: int) -> None:
    books, chance = Books(folder, seed), random.Random(seed)  # noqa: S311
    await books.book.flush()
    opened.send_bytes(b"open")
    await asyncio.gather(*[_call(books, chance, billing) for _ in range(CALLERS)])


async def _call(books: Books, chance: random.Random, billing: int) -> None:
    for number in count():
        tenant = f"tenant {number % TENANTS}"
        reservation = await books.reserved(tenant)
        if chance.random() < 0.1:
            books.release(reservation)
            continue
        cost = chance.randrange(WORST)
        # From here on the upstream bills it, whatever becomes of this process.
        os.write(billing, _BILL.pack(cost))
        if chance.random() < 0.5:
            await asyncio.sleep(chance.uniform(0, 0.01))
        books.settle(reservation, tenant, cost)
