"""The ledger's book, as a port: where what budgets spent outlives the process.

An attempt is written down before it is sent, as what it may cost at most,
and struck out with what it did cost when that is known, a little later.
So after a process was killed, at any moment, the book says no less than what was spent:
what it finds open then counts as spent. And it says no more than that by what was open.
That is of processes. When the machine loses its power, up to the last second may be lost.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias


class Balance(NamedTuple):
    """What was spent in one slot of an account, of use until a moment of the wall clock.

    `identity` names the budget and `values` the account; `start` is the slot's.
    """

    identity: str
    values: tuple[str, ...]
    start: int
    spent: int
    until: int


class Used(NamedTuple):
    """What attempts used, of one tenant at one model by one route.

    `guessed` of the `calls` broke off before anybody knew what they cost: they are in `nano_usd`
    with the most that it can have been, and in the tokens with what was reported.
    """

    tenant: str = ""
    route: str = ""
    model: str = ""
    calls: int = 1
    guessed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    nano_usd: int = 0

    @property
    def whose(self) -> tuple[str, str, str]:
        """Its names."""
        return self.tenant, self.route, self.model

    @property
    def counts(self) -> tuple[int, ...]:
        """Its numbers."""
        return (
            self.calls,
            self.guessed,
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.nano_usd,
        )

    def plus(self, other: "Used") -> "Used":
        """Return what both used, under the names of this one."""
        return Used(
            self.tenant,
            self.route,
            self.model,
            self.calls + other.calls,
            self.guessed + other.guessed,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.nano_usd + other.nano_usd,
        )


WHOSE: Final = ("tenant", "route", "model")
"""The names in `Used`."""


class Sums:
    """One row for each combination of the names in `by`, the others left empty."""

    def __init__(self, by: Container[str]) -> None:
        self._by = tuple([name in by for name in WHOSE])
        self._sums: dict[tuple[str, str, str], list[int]] = {}

    def add(self, row: Used) -> None:
        """Count it in."""
        tenant, route, model = self._by
        whose = (
            row.tenant if tenant else "",
            row.route if route else "",
            row.model if model else "",
        )
        before = self._sums.get(whose)
        if before is None:
            self._sums[whose] = list(row.counts)
            return
        for index, count in enumerate(row.counts):
            before[index] += count

    def rows(self) -> list[Used]:
        """Return them as they are now."""
        return [Used(*whose, *counts) for whose, counts in self._sums.items()]


def summed(rows: Iterable[Used], by: Container[str]) -> list[Used]:
    """Return one row for each combination of the names in `by`, the others left empty."""
    sums = Sums(by)
    for row in rows:
        sums.add(row)
    return sums.rows()


class Holding(NamedTuple):
    """What an attempt may cost at most: `amounts` are balances of which that is the amount.

    `number` is the attempt's own within the process; `used` is what it counts as if it stays open.
    """

    number: int
    amounts: tuple[Balance, ...]
    used: Used


class LeftOpen(NamedTuple):
    """What processes that died left open: so many attempts, and what they may have cost."""

    attempts: int = 0
    nano_usd: int = 0


class UsageQuery(NamedTuple):
    """Which use is asked for: from a moment of the wall clock on, by some of `Used`'s names."""

    since: float
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerOpened:
    """The book takes entries.

    What `left_open` attempts of a process that died may have cost is taken for spent.
    """

    where: str
    left_open: int


@dataclass(frozen=True, slots=True)
class LedgerOut:
    """The book takes no entries because of `why`, and is tried again until it does."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class LedgerSetAside:
    """A file that can't be read was renamed to `file`: what it said was spent isn't counted."""

    file: str
    why: str


LedgerNote: TypeAlias = LedgerOpened | LedgerOut | LedgerSetAside

LedgerSink: TypeAlias = Callable[[LedgerNote], None]
"""Takes one note. It is called from the book's own thread, and must not raise or wait."""

Merge: TypeAlias = Callable[[Sequence[Balance]], Iterable[Balance]]
"""Takes what was kept, and returns all that is to be kept. Called in the event loop."""

GiveBack: TypeAlias = Callable[[Sequence[Balance]], Iterable[Balance]]
"""Takes what wasn't spent, and returns the accounts' new balances. Called in the event loop."""


class LedgerFailed(Exception):
    """The book can't be written or read now: the text says why."""


class Book(Protocol):
    """Keeps what was spent. Everything is called from the event loop's thread.

    `why` says what keeps it from taking entries, "" when nothing does.
    `left_open` is what is taken for spent of processes that died, as nobody knows better.
    """

    @property
    def why(self) -> str:
        """Say what is wrong."""
        ...

    @property
    def left_open(self) -> LeftOpen:
        """Say what may be released."""
        ...

    async def release_left(self, give_back: "GiveBack") -> LeftOpen:
        """Take it for unspent, in the accounts by `give_back`; raises `LedgerFailed`.

        A process that is killed meanwhile takes it for spent, and has nothing left to release.
        """
        ...

    async def reserved(self, holding: Holding) -> None:
        """Return when the process may be killed without that being forgotten.

        Raises `LedgerFailed`; it may be written all the same, until it is `ended`.
        """
        ...

    def ended(self, number: int, balances: Iterable[Balance], used: Used | None) -> None:
        """Strike the attempt out, and keep what its accounts hold now and what it used."""
        ...

    def record(self, used: Used) -> None:
        """Keep what an attempt used that no budget counts, in a while."""
        ...

    async def usage(self, query: UsageQuery) -> list[Used]:
        """Return what was used, what isn't asked for left empty; raises `LedgerFailed`."""
        ...

    async def flush(self) -> None:
        """Return when what was told before is written; raises `LedgerFailed`."""
        ...

    async def aclose(self) -> None:
        """Write what waits, for some seconds at most; nothing may be asked of it afterwards."""
        ...
