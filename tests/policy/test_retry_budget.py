"""`RetryBudget`: what retries and hedges may add, compared with a list of all that happened."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.policy.retry_budget import RetryBudget

WINDOW_S, SLICES = 8.0, 10
SLICE_S = WINDOW_S / SLICES


class Model:
    """The obvious budget: it keeps every moment, and counts them each time."""

    def __init__(self, ratio: float, floor_per_s: float) -> None:
        self.ratio, self.floor = ratio, floor_per_s * WINDOW_S
        self.deposits: list[int] = []
        self.withdrawals: list[int] = []

    def deposit(self, now: float) -> None:
        self.deposits.append(int(now // SLICE_S))

    def withdraw(self, now: float) -> bool:
        current = int(now // SLICE_S)
        calls = sum(current - SLICES < at <= current for at in self.deposits)
        added = sum(current - SLICES < at <= current for at in self.withdrawals)
        if added + 1 > max(self.ratio * calls, self.floor):
            return False
        self.withdrawals.append(current)
        return True


steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.1, 0.8, 1.0, 7.9, 8.0, 30.0]),  # seconds before it
        st.integers(0, 12),  # calls
        st.integers(0, 6),  # attempts beyond them that are asked for
    ),
    max_size=60,
)


@given(
    steps=steps, ratio=st.sampled_from([0.0, 0.2, 0.5, 1.0]), floor=st.sampled_from([0, 0.25, 1])
)
@settings(max_examples=150)
def test_it_allows_what_the_model_allows(
    steps: list[tuple[float, int, int]], ratio: float, floor: float
) -> None:
    """Each answer is that of the list of everything, however time and load go."""
    budget, model = RetryBudget(ratio, floor, WINDOW_S), Model(ratio, floor)
    now = 5_000.0
    for wait_s, calls, asked in steps:
        now += wait_s
        for _ in range(calls):
            budget.deposit(now)
            model.deposit(now)
        allowed = [budget.withdraw(now) for _ in range(asked)]
        assert allowed == [model.withdraw(now) for _ in range(asked)]


def test_it_allows_what_the_model_allows_for_long() -> None:
    """The same over many windows, slice by slice, so that each is used again and again."""
    budget, model, chance = RetryBudget(0.5, 0.1, WINDOW_S), Model(0.5, 0.1), random.Random(3)  # noqa: S311
    now, refused = 5_000.0, 0
    for _ in range(600):
        now += chance.uniform(0, 1.5 * SLICE_S)
        for _ in range(chance.randrange(3)):
            budget.deposit(now)
            model.deposit(now)
        allowed = budget.withdraw(now)
        assert allowed == model.withdraw(now)
        refused += not allowed
    assert 100 < refused < 500


@given(steps=steps, begins=st.floats(0, 100), lasts=st.floats(0, 200))
@settings(max_examples=150)
def test_nothing_beyond_the_ratio_over_any_time(
    steps: list[tuple[float, int, int]], begins: float, lasts: float
) -> None:
    """Over any time, withdrawals are at most the ratio of the calls since a window before it."""
    budget = RetryBudget(0.2, 0.0, WINDOW_S)
    begins += 5_000.0
    now, calls_made, added = 5_000.0, 0, 0
    for wait_s, calls, asked in steps:
        now += wait_s
        for _ in range(calls):
            budget.deposit(now)
            calls_made += begins - WINDOW_S <= now <= begins + lasts
        for _ in range(asked):
            added += budget.withdraw(now) and begins <= now <= begins + lasts
    assert added <= 0.2 * calls_made


@pytest.mark.parametrize("per_s", [6, 20, 200])
def test_a_total_outage_costs_a_fifth_more(per_s: int) -> None:
    """Under steady load, all of it failing and wanting two retries, a fifth is added, no more."""
    budget, added, seconds = RetryBudget(0.2, 1.0, 10.0), 0, 120
    for number in range(seconds * per_s):
        now = 1_000.0 + number / per_s
        budget.deposit(now)
        added += budget.withdraw(now) + budget.withdraw(now)
    calls = seconds * per_s
    window = 10 * max(1.0, 0.2 * per_s)
    assert 0.2 * calls - window <= added <= 0.2 * calls + 10


def test_few_calls_have_the_floor() -> None:
    """Without load to speak of, ten in ten seconds are allowed, then none until they are past."""
    budget = RetryBudget()
    budget.deposit(1_000.0)
    assert [budget.withdraw(1_000.0) for _ in range(11)] == [True] * 10 + [False]
    assert not budget.withdraw(1_008.9)
    assert budget.withdraw(1_010.0)


def test_a_refusal_takes_nothing() -> None:
    """What was refused isn't counted, so that waiting is enough."""
    budget = RetryBudget(1.0, 0.0)
    assert not any(budget.withdraw(50.0) for _ in range(100))
    budget.deposit(50.0)
    assert budget.withdraw(50.0)


def test_an_operator_sees_what_is_left() -> None:
    """Calls, what was added to them and what still may be; and in the repr."""
    budget = RetryBudget()
    for _ in range(100):
        budget.deposit(7.0)
    assert budget.withdraw(7.0)
    assert budget.status(7.0) == {"calls": 100, "added": 1, "left": 19}
    assert repr(budget) == "<RetryBudget, 1 of 20 added to 100 calls in 10 s>"
    assert budget.status(18.0) == {"calls": 0, "added": 0, "left": 10}
