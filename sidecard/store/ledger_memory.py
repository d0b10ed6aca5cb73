"""The ledger's book where there is no disk for it: what was used, until the process ends."""

from collections.abc import Iterable
from typing import Final

from sidecard.core.clock import Clock
from sidecard.core.ledger import (
    Balance,
    GiveBack,
    Holding,
    LeftOpen,
    UsageQuery,
    Used,
    summed,
)
from sidecard.store.ledger_desk import UsageKey, UsageKeys

_MOST_ROWS: Final = 20_000


class MemoryBook:
    """A `Book` that forgets. What was spent is in the accounts alone."""

    def __init__(self, clock: Clock) -> None:
        self.why = ""
        self.left_open = LeftOpen()
        self._clock = clock
        self._keys = UsageKeys()
        self._rows: dict[UsageKey, Used] = {}

    async def release_left(self, give_back: GiveBack) -> LeftOpen:
        """Do nothing: a process leaves nothing to the next."""
        del give_back
        return self.left_open

    async def reserved(self, holding: Holding) -> None:
        """Return at once: a process that is killed forgets everything."""

    def ended(self, number: int, balances: Iterable[Balance], used: Used | None) -> None:
        """Keep what it used."""
        del number, balances
        if used is not None:
            self.record(used)

    def record(self, used: Used) -> None:
        """Add it to its hour; the oldest go when there are too many."""
        key, rows = self._keys.of(used, self._clock.wall()), self._rows
        before = rows.get(key)
        if before is not None:
            rows[key] = before.plus(used)
            return
        rows[key] = Used(*key[1:], *used.counts)
        if len(rows) > _MOST_ROWS:
            del rows[next(iter(rows))]

    async def usage(self, query: UsageQuery) -> list[Used]:
        """Sum it up."""
        first = int(query.since) // 3600
        return summed([used for key, used in self._rows.items() if key.hour >= first], query.by)

    async def flush(self) -> None:
        """Return at once."""

    async def aclose(self) -> None:
        """Forget."""

    def __repr__(self) -> str:
        return f"<MemoryBook, {len(self._rows)} rows>"
