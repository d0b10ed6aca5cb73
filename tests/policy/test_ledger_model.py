"""The ledger against an obvious one that keeps everything and adds it all up each time."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from sidecard.policy.budget import Amounts, Beyond, Budget, Facts, Scope, Unit
from sidecard.policy.budget_window import Calendar, Per, Rolling
from sidecard.policy.ledger import Ledger, Refusal, Reservation

if TYPE_CHECKING:
    from sidecard.core.ledger import Balance

BERLIN = ZoneInfo("Europe/Berlin")
START = 1_792_886_000.0  # Shortly before a day of 25 hours.
BUDGETS = (
    Budget("all", Unit.DOLLARS, 100, Calendar(Per.DAY, BERLIN, "Europe/Berlin")),
    Budget("each", Unit.DOLLARS, 60, Calendar(Per.HOUR, BERLIN), Scope(tenant="*")),
    Budget("rolls", Unit.TOKENS, 80, Rolling(Per.HOUR)),
    Budget("one", Unit.CALLS, 4, Calendar(Per.MONTH, BERLIN), Scope(tenant="a", route="r")),
    Budget("warns", Unit.DOLLARS, 1, Rolling(Per.DAY), Scope(), Beyond.WARN),
)
facts = st.builds(Facts, st.sampled_from("ab"), st.sampled_from("rs"), st.just({}))
amounts = st.builds(Amounts, st.integers(0, 50), st.integers(0, 50), st.just(1))


@dataclass(eq=False)
class Charged:
    """What an attempt is charged in one budget, and when it was reserved; none is another."""

    budget: Budget
    values: tuple[str, ...]
    wall: float
    amount: int
    open: bool = True

    def counts(self, wall: float) -> bool:
        window = self.budget.window
        if isinstance(window, Calendar):
            return window.span(self.wall) == window.span(wall)
        return window.span(self.wall).end > wall - window.per.length_s


@dataclass
class Held:
    """An attempt, in both."""

    reservation: Reservation
    worst: Amounts
    charged: list[Charged] = field(default_factory=list)


class Compared(RuleBasedStateMachine):
    """Both do the same and have to agree; the clock goes forward only."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(BUDGETS)
        self.charged: list[Charged] = []
        self.wall = START

    def sums(self, budget: Budget, values: tuple[str, ...]) -> tuple[int, int]:
        """Return what is spent and reserved, from scratch."""
        found = [
            c
            for c in self.charged
            if (c.budget, c.values) == (budget, values) and c.counts(self.wall)
        ]
        spent = sum(c.amount for c in found if not c.open)
        return spent, sum(c.amount for c in found if c.open)

    @rule(seconds=st.sampled_from([1.0, 59.0, 600.0, 3600.0, 30_000.0, 90_000.0, 3e6]))
    def time_passes(self, seconds: float) -> None:
        self.wall += seconds

    @rule(target=held, facts=facts, worst=amounts)
    def reserve(self, facts: Facts, worst: Amounts) -> Held | None:
        wanted = [
            Charged(b, values, self.wall, worst.of(b.unit) or 0)
            for b in BUDGETS
            if (values := b.scope.values(facts)) is not None
        ]
        full = [
            c.budget
            for c in wanted
            if c.budget.hard and sum(self.sums(c.budget, c.values)) + c.amount > c.budget.limit
        ]
        found = self.ledger.reserve(facts, worst, self.wall)
        if isinstance(found, Refusal):
            assert found.budget in full
            return None
        assert not full
        self.charged += wanted
        return Held(found, worst, wanted)

    @rule(held=consumes(held), share=st.floats(0, 1))
    def settle(self, held: Held | None, share: float) -> None:
        if held is None:
            return
        nano, tokens = held.worst.nano_usd or 0, held.worst.tokens
        actual = Amounts(int(nano * share), int(tokens * share))
        self.ledger.settle(held.reservation, actual)
        for charged in held.charged:
            charged.open, charged.amount = False, actual.of(charged.budget.unit) or 0

    @rule(held=consumes(held))
    def release(self, held: Held | None) -> None:
        if held is None:
            return
        self.ledger.release(held.reservation)
        for charged in held.charged:
            self.charged.remove(charged)

    @invariant()
    def they_agree(self) -> None:
        for found in self.ledger.standings(self.wall):
            assert (found.spent, found.reserved) == self.sums(found.budget, found.values)
            if found.budget.hard:
                assert found.spent + found.reserved <= found.budget.limit


Compared.TestCase.settings = settings(max_examples=20, stateful_step_count=25)
TestLedger = Compared.TestCase

steps = st.lists(
    st.tuples(
        st.floats(-1e7, 1e7) | st.sampled_from([0.0, 1.0, -3600.0, 3600.0, -86_400.0, 86_400.0]),
        st.integers(1, 40),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(steps)
def test_no_window_is_ever_given_twice(moves: list[tuple[float, int, bool]]) -> None:
    """Whatever the clock does: all that was ever charged to one window is within its limit."""
    budget = Budget("all", Unit.DOLLARS, 100, Calendar(Per.HOUR, BERLIN))
    ledger, wall = Ledger([budget]), START
    spent: dict[int, int] = {}
    kept: dict[tuple[str, int], Balance] = {}
    for step, cost, restarts in moves:
        wall += step
        found = ledger.reserve(Facts("a", "r"), Amounts(cost, 0), wall)
        if isinstance(found, Reservation):
            for balance in ledger.settle(found, Amounts(cost, 0)):
                spent[balance.start] = spent.get(balance.start, 0) + cost
                kept[balance.identity, balance.start] = balance
        if restarts:
            ledger = Ledger([budget])
            ledger.load(kept.values(), 0.0)
    assert all(total <= 100 for total in spent.values())


@settings(max_examples=60)
@given(steps)
def test_a_rolling_window_counts_all_that_is_younger(moves: list[tuple[float, int, bool]]) -> None:
    """However often the clock steps: what an hour of time that passed holds is within the limit."""
    budget = Budget("all", Unit.DOLLARS, 100, Rolling(Per.HOUR))
    ledger, wall, passed = Ledger([budget]), START, 0.0
    charged: list[tuple[float, int]] = []
    for step, cost, _ in moves:
        wall, passed = wall + step, passed + max(step, 0.0)
        found = ledger.reserve(Facts("a", "r"), Amounts(cost, 0), wall)
        if isinstance(found, Reservation):
            ledger.settle(found, Amounts(cost, 0))
            charged.append((passed, cost))
        assert sum([c for at, c in charged if at > passed - 3600]) <= 100
