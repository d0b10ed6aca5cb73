"""The ledger: every attempt reserves its worst case, and settles what it cost in the end.

What is spent and reserved never exceeds a limit that refuses, as room is looked for and taken
in one step, in all budgets of the attempt or in none.
What isn't known is charged as the worst case, so that no account says less than was spent.
An attempt that costs more than its worst case is the one way past a limit: it is counted as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Final, NamedTuple

from sidecard.core.ledger import Balance
from sidecard.policy.account import Account, Slot
from sidecard.policy.accounts import OTHERS, Accounts
from sidecard.policy.budget import Amounts, Beyond, Budget, Facts, Unit

THRESHOLDS: Final = (50, 80, 100)
_MOST: Final = 10_000


class Charge(NamedTuple):
    """What one budget has set aside for an attempt."""

    budget: Budget
    account: Account
    slot: Slot
    amount: int


class Reservation:
    """What an attempt holds in all its budgets, until it is settled once. `number` is its own."""

    __slots__ = ("charges", "number", "settled", "worst")

    def __init__(self, number: int, worst: Amounts, charges: Sequence[Charge]) -> None:
        self.number = number
        self.worst = worst
        self.charges = charges
        self.settled = False

    def __repr__(self) -> str:
        state = "settled" if self.settled else "open"
        return f"<Reservation {self.number} {state}, {self.worst}>"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A budget has no room: `left` of `limit`, for `need`, each None without a price.

    `steps_down`: another target may fit. `at` is when this one will,
    in seconds since the Unix epoch, None for never.
    """

    budget: Budget
    values: tuple[str, ...]
    need: int | None
    left: int
    at: int | None

    @property
    def steps_down(self) -> bool:
        """Whether a cheaper target may be asked."""
        return self.budget.beyond is Beyond.STEP_DOWN


class Standing(NamedTuple):
    """How an account stands now; `resets_at` is when all of it is free again if nothing comes."""

    budget: Budget
    values: tuple[str, ...]
    spent: int
    reserved: int
    resets_at: int | None


class Crossed(NamedTuple):
    """So many percent of a limit are spent, for the first time in this window."""

    budget: Budget
    values: tuple[str, ...]
    percent: int
    spent: int


class Ledger:
    """All accounts. Safe to share within one event loop.

    `crossed` is told each threshold once in a window, of several at once the lowest first.
    `counts_unpriced`: an attempt without a price has no room in a budget of dollars;
    else such a budget takes it for free.
    """

    def __init__(
        self,
        budgets: Sequence[Budget],
        *,
        crossed: Callable[[Crossed], object] = lambda _: None,
        counts_unpriced: bool = True,
        most_accounts: int = _MOST,
    ) -> None:
        self.budgets = tuple(budgets)
        self._books = [Accounts(budget, most_accounts) for budget in budgets]
        self._by_identity = {books.budget.identity: books for books in self._books}
        self._crossed = crossed
        self._counts_unpriced = counts_unpriced
        self._most_accounts = most_accounts
        self._retired: dict[str, Accounts] = {}
        self.foreign: list[Balance] = []
        self._number = 0
        self.open = 0

    def adopt(self, budgets: Sequence[Budget], wall: float, *, counts_unpriced: bool) -> None:
        """Go on with other budgets. What was spent stays spent, by a budget's `identity`.

        A budget that is gone is counted no more, and its accounts are kept:
        when it comes back, it goes on with what was spent in its windows.
        """
        known = self._retired | self._by_identity
        self.budgets = tuple(budgets)
        self._counts_unpriced = counts_unpriced
        self._books = []
        for budget in budgets:
            books = known.pop(budget.identity, None) or Accounts(budget, self._most_accounts)
            books.adopt(budget)
            self._books.append(books)
        self._by_identity = {books.budget.identity: books for books in self._books}
        self._retired = known
        kept, self.foreign = self.foreign, []
        self.load(kept, wall)

    def reserve(self, facts: Facts, worst: Amounts, wall: float) -> Reservation | Refusal:
        """Set the worst case aside in every budget of the call, or in none."""
        charges: list[Charge] = []
        refusals: list[Refusal] = []
        for books in self._books:
            budget = books.budget
            values = budget.scope.values(facts)
            if values is None:
                continue
            own = books.get(values, wall)
            slot = own.turn(wall)
            need = worst.of(budget.unit)
            if budget.hard:
                if need is None and self._counts_unpriced:
                    left = budget.limit - own.used
                    refusals.append(Refusal(budget, own.values, None, left, None))
                elif own.used + (need or 0) > budget.limit:
                    at, left = own.room_at(need or 0, budget.limit), budget.limit - own.used
                    refusals.append(Refusal(budget, own.values, need, left, at))
                    if at is not None and not own.reserved and own.spent * 5 >= budget.limit * 4:
                        self._tell(budget, own, 100)  # As near to it as these calls come.
            charges.append(Charge(budget, own, slot, need or 0))
        if refusals:
            return max(refusals, key=_weight)
        for charge in charges:
            charge.account.reserve(charge.slot, charge.amount)
        self._number += 1
        self.open += 1
        return Reservation(self._number, worst, charges)

    def settle(self, reservation: Reservation, actual: Amounts) -> list[Balance]:
        """Charge what it cost, the worst case where that isn't known; return what changed."""
        balances: list[Balance] = []
        if reservation.settled:
            return balances
        reservation.settled = True
        self.open -= 1
        for budget, own, slot, amount in reservation.charges:
            cost = actual.of(budget.unit)
            own.settle(slot, amount, amount if cost is None else cost)
            if own.spent * 2 >= budget.limit:
                self._tell(budget, own, 100 * own.spent // budget.limit if budget.limit else 100)
            balances.append(_balance(budget, own, slot))
        return balances

    def release(self, reservation: Reservation) -> None:
        """Give all of it back: it cost nothing."""
        if not reservation.settled:
            reservation.settled = True
            self.open -= 1
            for _, own, slot, amount in reservation.charges:
                own.settle(slot, amount, 0)

    def load(self, balances: Iterable[Balance], wall: float) -> list[Balance]:
        """Add what was kept of an earlier process; return what belongs to no budget there is.

        Thresholds that were reached then were told then.
        """
        foreign: list[Balance] = []
        touched: dict[int, tuple[Budget, Account]] = {}
        for balance in balances:
            books = self._by_identity.get(balance.identity)
            if books is None:
                foreign.append(balance)
            elif balance.until > wall:
                own = books.get(balance.values, wall)
                own.load(balance.start, balance.spent)
                touched[id(own)] = (books.budget, own)
        for budget, own in touched.values():
            own.turn(wall)
            percent = 100 * own.spent // budget.limit if budget.limit else 100
            own.tell(max([t for t in THRESHOLDS if t <= percent], default=0))
        self.foreign += foreign
        return foreign

    def give_back(self, amounts: Iterable[Balance]) -> list[Balance]:
        """Take for unspent what was loaded as spent; return what changed."""
        changed: list[Balance] = []
        known = self._by_identity | self._retired
        for amount in amounts:
            books = known.get(amount.identity)
            if books is None:
                changed += self._forgive(amount)
                continue
            shared = (OTHERS,) * len(amount.values)
            own = books.found.get(amount.values) or books.found.get(shared)
            if own is not None and (slot := own.give_back(amount.start, amount.spent)):
                changed.append(_balance(books.budget, own, slot))
        return changed

    def _forgive(self, amount: Balance) -> Iterator[Balance]:
        """Take it for unspent in a budget that there isn't now."""
        for place, kept in enumerate(self.foreign):
            if kept[:3] == amount[:3]:
                left = kept._replace(spent=max(kept.spent - amount.spent, 0))
                self.foreign[place] = left
                yield left

    def balances(self) -> Iterator[Balance]:
        """Yield all that is known, to be kept."""
        for books in (*self._books, *self._retired.values()):
            for own in books.found.values():
                yield from [_balance(books.budget, own, s) for s in own.slots() if s.spent]

    def standings(self, wall: float, most: int | None = None) -> Iterator[Standing]:
        """Yield how each account stands, the budgets in their order.

        With `most`, of each budget no more than so many, those with most in use. Which they are
        is known from when they were used last: to bring thousands up to date would take long.
        """
        for books in self._books:
            accounts: Iterable[Account] = books.found.values()
            if most is not None:
                accounts = nlargest(most, accounts, key=lambda own: own.used)
            for own in accounts:
                own.turn(wall)
                resets = own.room_at(books.budget.limit, books.budget.limit)
                yield Standing(books.budget, own.values, own.spent, own.reserved, resets)

    def _tell(self, budget: Budget, own: Account, percent: int) -> None:
        told = own.tell(max([t for t in THRESHOLDS if t <= percent], default=0))
        for reached in THRESHOLDS:
            if told < reached <= percent:
                self._crossed(Crossed(budget, own.values, reached, own.spent))

    def __repr__(self) -> str:
        accounts = sum([len(books.found) for books in self._books])
        return f"<Ledger, {len(self.budgets)} budgets, {accounts} accounts, {self.open} open>"


def _weight(refusal: Refusal) -> tuple[bool, bool, int]:
    """Say which of some refusals is told: what nothing helps with, then what takes longest."""
    return not refusal.steps_down, refusal.at is None, refusal.at or 0


def _balance(budget: Budget, own: Account, slot: Slot) -> Balance:
    return Balance(budget.identity, own.values, slot.span.start, slot.spent, own.until(slot))


def amount_text(unit: Unit, amount: int) -> str:
    """Return an amount for people."""
    if unit is Unit.DOLLARS:
        return f"${amount / 1_000_000_000:,.4f}"
    return f"{amount:,} {unit.value.removesuffix('s') if amount == 1 else unit.value}"
