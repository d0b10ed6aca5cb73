"""`Ledger`: no limit is passed, every window is its own, and every threshold is told once."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest

from sidecard.core.ledger import Balance
from sidecard.policy.accounts import OTHERS
from sidecard.policy.budget import Amounts, Beyond, Budget, Facts, Scope, Unit
from sidecard.policy.budget_window import Calendar, Per, Rolling
from sidecard.policy.ledger import Crossed, Ledger, Refusal, Reservation

NOON = 1_790_000_000.0
HOUR = Calendar(Per.HOUR, ZoneInfo("UTC"))
DAY = Calendar(Per.DAY, ZoneInfo("Europe/Berlin"), "Europe/Berlin")
ALL = Facts("acme", "default", {"team": "red"})


def a_budget(limit: int = 100, unit: Unit = Unit.DOLLARS, **changes: object) -> Budget:
    fields: dict[str, object] = {"name": "all", "window": HOUR}
    return Budget(unit=unit, limit=limit, **{**fields, **changes})  # type: ignore[arg-type]


def costs(nano_usd: int | None, tokens: int = 0) -> Amounts:
    return Amounts(nano_usd, tokens)


def take(ledger: Ledger, worst: int, wall: float = NOON, facts: Facts = ALL) -> Reservation:
    """Reserve, where there has to be room."""
    found = ledger.reserve(facts, costs(worst), wall)
    assert isinstance(found, Reservation), found
    return found


def refusal(ledger: Ledger, worst: int | None, wall: float = NOON, facts: Facts = ALL) -> Refusal:
    """Reserve, where there must be no room."""
    found = ledger.reserve(facts, costs(worst), wall)
    assert isinstance(found, Refusal), found
    return found


def standing(ledger: Ledger, wall: float = NOON) -> list[tuple[int, int]]:
    return [(found.spent, found.reserved) for found in ledger.standings(wall)]


def test_a_hundred_at_once_against_a_budget_for_ten() -> None:
    """Ten have room, all others are refused, and the limit is reached to the cent."""
    ledger = Ledger([a_budget(limit=100)])
    held = [ledger.reserve(ALL, costs(10), NOON) for _ in range(100)]
    taken = [found for found in held if isinstance(found, Reservation)]
    assert len(taken) == 10
    assert standing(ledger) == [(0, 100)]
    for reservation in taken:
        ledger.settle(reservation, costs(10))
    assert standing(ledger) == [(100, 0)]
    assert refusal(ledger, 1).left == 0


def test_what_was_not_needed_is_there_again() -> None:
    """Settling gives back the rest of the worst case, releasing all of it, each only once."""
    ledger = Ledger([a_budget(limit=100)])
    first, second = take(ledger, 60), take(ledger, 40)
    ledger.settle(first, costs(10))
    ledger.release(second)
    for reservation in (first, second):
        ledger.release(reservation)
        assert ledger.settle(reservation, costs(50)) == []
    assert standing(ledger) == [(10, 0)]
    assert ledger.open == 0


def test_what_is_not_known_costs_the_worst_case() -> None:
    """So that no account says less than was spent."""
    ledger = Ledger([a_budget(limit=100)])
    ledger.settle(take(ledger, 60), costs(None))
    assert standing(ledger) == [(60, 0)]


def test_all_budgets_or_none() -> None:
    """An attempt that one budget refuses takes nothing from the others."""
    budgets = [
        a_budget(limit=1_000),
        a_budget(limit=5, name="few", unit=Unit.CALLS),
        a_budget(limit=50, name="small", scope=Scope(tenant="acme")),
    ]
    ledger = Ledger(budgets)
    take(ledger, 40)
    assert refusal(ledger, 20).budget.name == "small"
    assert standing(ledger) == [(0, 40), (0, 1), (0, 40)]
    take(ledger, 20, facts=Facts("other", "default"))
    assert standing(ledger) == [(0, 60), (0, 2), (0, 40)]


@pytest.mark.parametrize(
    ("scope", "counts"),
    [
        (Scope(), [{(): 5}]),
        (Scope(tenant="acme"), [{(): 3}]),
        (Scope(tenant="*"), [{("acme",): 3, ("zeta",): 2}]),
        (Scope(route="fast"), [{(): 2}]),
        (Scope(tenant="*", route="fast"), [{("acme",): 1, ("zeta",): 1}]),
        (Scope(labels=(("team", "red"),)), [{(): 2}]),
        (Scope(labels=(("team", "*"),)), [{("red",): 2, ("blue",): 1, ("",): 2}]),
        (Scope(tenant="nobody"), [{(): 0}]),
    ],
)
def test_scopes(scope: Scope, counts: list[dict[tuple[str, ...], int]]) -> None:
    """A scope counts its own calls, each value of a star for itself; no label is a value too."""
    ledger = Ledger([a_budget(limit=10, unit=Unit.CALLS, scope=scope)])
    for facts in (
        Facts("acme", "fast", {"team": "red"}),
        Facts("acme", "default", {"team": "blue"}),
        Facts("acme", "default"),
        Facts("zeta", "fast"),
        Facts("zeta", "default", {"team": "red"}),
    ):
        ledger.settle(take(ledger, 1, facts=facts), costs(1))
    assert [{s.values: s.spent for s in ledger.standings(NOON)}] == counts


@pytest.mark.parametrize(("unit", "spent"), [(Unit.DOLLARS, 7), (Unit.TOKENS, 9), (Unit.CALLS, 1)])
def test_units(unit: Unit, spent: int) -> None:
    """Dollars, tokens and calls are counted each for itself."""
    ledger = Ledger([a_budget(unit=unit)])
    reservation = ledger.reserve(ALL, costs(20, 30), NOON)
    assert isinstance(reservation, Reservation)
    ledger.settle(reservation, costs(7, 9))
    assert standing(ledger) == [(spent, 0)]


def test_a_refusal_says_when_there_is_room() -> None:
    """At the end of the window; never, for what is larger than the whole limit."""
    ledger = Ledger([a_budget(limit=100, window=DAY)])
    take(ledger, 90)
    told = refusal(ledger, 20)
    assert (told.need, told.left, told.at) == (20, 10, DAY.span(NOON).end)
    assert refusal(ledger, 101).at is None


def test_the_refusal_that_nothing_helps_with_is_told_first() -> None:
    """Of several, one that steps down says too little, and so does the one that passes first."""
    down = a_budget(limit=10, name="down", beyond=Beyond.STEP_DOWN)
    hard = a_budget(limit=50, name="hard")
    long = a_budget(limit=50, name="long", window=DAY)
    ledger = Ledger([down, hard, long])
    told = refusal(ledger, 20)
    assert (told.budget.name, told.steps_down) == ("down", True)
    take(ledger, 5)
    told = refusal(ledger, 48)
    assert (told.budget.name, told.steps_down) == ("long", False)


def test_a_warning_refuses_nothing() -> None:
    """It only counts, beyond its limit too."""
    ledger = Ledger([a_budget(limit=10, beyond=Beyond.WARN)])
    ledger.settle(take(ledger, 50), costs(40))
    ledger.settle(take(ledger, 50), costs(40))
    assert standing(ledger) == [(80, 0)]


def test_no_price_is_no_room_where_dollars_count() -> None:
    """Unless such attempts are taken for free; a warning, tokens and calls don't mind."""
    budgets = [a_budget(), a_budget(name="t", unit=Unit.TOKENS)]
    assert refusal(Ledger(budgets), None).need is None
    ledger = Ledger(budgets, counts_unpriced=False)
    reservation = ledger.reserve(ALL, costs(None, 30), NOON)
    assert isinstance(reservation, Reservation)
    ledger.settle(reservation, costs(None, 20))
    assert standing(ledger) == [(0, 0), (20, 0)]
    warned = Ledger([a_budget(beyond=Beyond.WARN)])
    assert isinstance(warned.reserve(ALL, costs(None), NOON), Reservation)


def test_thresholds_are_told_once_in_a_window() -> None:
    """Half, four fifths, all: in each window anew, for each account, of several at once each."""
    told: list[Crossed] = []
    ledger = Ledger([a_budget(scope=Scope(tenant="*"))], crossed=told.append)
    for cost in (49, 1, 20, 20, 9):
        ledger.settle(take(ledger, cost), costs(cost))
    assert [(c.values, c.percent, c.spent) for c in told] == [
        (("acme",), 50, 50),
        (("acme",), 80, 90),
    ]
    refusal(ledger, 2)
    refusal(ledger, 2)
    assert [c.percent for c in told] == [50, 80, 100]
    ledger.settle(take(ledger, 100, NOON + 3600), costs(100))
    assert [c.percent for c in told[3:]] == [50, 80, 100]


def test_what_only_waits_is_not_spent() -> None:
    """A refusal because of what is reserved, or because a call is too large, tells no threshold."""
    told: list[Crossed] = []
    ledger = Ledger([a_budget()], crossed=told.append)
    refusal(ledger, 101)
    held = take(ledger, 100)
    refusal(ledger, 1)
    ledger.settle(held, costs(49))
    refusal(ledger, 52)
    assert told == []


def test_a_rolling_window_tells_again_after_its_length() -> None:
    """Not for every call that comes and goes at the limit."""
    told: list[Crossed] = []
    budget = a_budget(window=Rolling(Per.MINUTE))
    ledger = Ledger([budget], crossed=told.append)
    for second in range(0, 180, 10):
        found = ledger.reserve(ALL, costs(90), NOON + second)
        if isinstance(found, Reservation):
            ledger.settle(found, costs(90))
    assert [c.percent for c in told] == [50, 80, 100] * 3


def test_midnight_with_calls_in_flight() -> None:
    """What was reserved before midnight is charged to the day that has gone, not to the new one."""
    midnight = DAY.span(NOON).end
    ledger = Ledger([a_budget(limit=100, window=DAY)])
    held = take(ledger, 90, midnight - 1)
    assert standing(ledger, midnight - 1) == [(0, 90)]
    fresh = take(ledger, 100, midnight)
    balances = ledger.settle(held, costs(80))
    assert [(b.start, b.spent) for b in balances] == [(DAY.span(NOON).start, 80)]
    assert standing(ledger, midnight) == [(0, 100)]
    ledger.settle(fresh, costs(70))
    assert standing(ledger, midnight) == [(70, 0)]


def test_a_step_back_reopens_no_window() -> None:
    """What was spent in an hour is spent when the clock comes back to it, or to before it."""
    ledger = Ledger([a_budget(limit=100)])
    ledger.settle(take(ledger, 100), costs(100))
    ledger.settle(take(ledger, 30, NOON + 3600), costs(30))
    assert refusal(ledger, 1, NOON).left == 0
    assert standing(ledger, NOON + 3600) == [(30, 0)]
    take(ledger, 70, NOON + 7200)  # The first hour is forgotten now.
    for wall in (NOON, NOON - 86_400, 0.0, float("nan")):
        assert standing(ledger, wall) == [(30, 0)]


def test_a_clock_that_was_far_ahead_and_is_set_right() -> None:
    """The window before the mistake goes on, and so does every one after it."""
    ledger = Ledger([a_budget(limit=100)])
    ledger.settle(take(ledger, 60), costs(60))
    ledger.settle(take(ledger, 100, NOON + 1e9), costs(100))
    assert standing(ledger, NOON) == [(60, 0)]
    assert refusal(ledger, 41).left == 40
    for hour in range(1, 5):
        ledger.settle(take(ledger, 100, NOON + hour * 3600), costs(100))


def test_a_rolling_window_lets_go_of_what_is_old() -> None:
    """Slice by slice, at the moment that a refusal named, and never before its time."""
    ledger = Ledger([a_budget(limit=100, window=Rolling(Per.MINUTE))])
    ledger.settle(take(ledger, 60), costs(60))
    ledger.settle(take(ledger, 40, NOON + 30), costs(40))
    told = refusal(ledger, 50, NOON + 31)
    assert told.at is not None
    assert NOON + 60 <= told.at <= NOON + 62
    refusal(ledger, 50, NOON + 59.9)
    take(ledger, 50, float(told.at))


def test_a_rolling_window_forgets_nothing_when_the_clock_steps_back() -> None:
    """What was spent leaves the window late then, but it does leave it."""
    ledger = Ledger([a_budget(limit=100, window=Rolling(Per.MINUTE))])
    ledger.settle(take(ledger, 100), costs(100))
    back = NOON - 1_000_000
    refusal(ledger, 1, back)
    refusal(ledger, 1, back + 59)
    take(ledger, 100, back + 62)


def test_more_than_the_worst_case_is_counted_as_it_is() -> None:
    """Then an account is past its limit, and refuses all."""
    ledger = Ledger([a_budget(limit=100)])
    ledger.settle(take(ledger, 90), costs(130))
    assert standing(ledger) == [(130, 0)]
    assert refusal(ledger, 0).left == -30


def each_tenant(ledger: Ledger, names: Sequence[str], wall: float = NOON) -> None:
    for name in names:
        ledger.settle(take(ledger, 10, wall, Facts(name, "default")), costs(10))


def test_accounts_are_bounded() -> None:
    """Late tenants share one account, as strict as any; who was first isn't forgotten."""
    budget = a_budget(limit=100, scope=Scope(tenant="*"))
    ledger = Ledger([budget], most_accounts=20)
    each_tenant(ledger, [f"t{number}" for number in range(30)])
    spent = {s.values[0]: s.spent for s in ledger.standings(NOON)}
    assert len(spent) == 21
    assert spent["t0"] == 10
    assert spent[OTHERS] == 100
    refusal(ledger, 1, facts=Facts("t99", "default"))
    each_tenant(ledger, [f"late{number}" for number in range(15)], NOON + 4 * 3600)
    later = {s.values[0]: s.spent for s in ledger.standings(NOON + 4 * 3600)}
    assert later == {f"late{number}": 10 for number in range(15)}


def test_what_was_kept_is_spent() -> None:
    """After a restart the accounts go on, and tell no threshold that was told before."""
    told: list[Crossed] = []
    budgets = [a_budget(scope=Scope(tenant="*")), a_budget(name="rolls", window=Rolling(Per.DAY))]
    ledger = Ledger(budgets)
    each_tenant(ledger, ["acme"] * 6 + ["zeta"])
    kept = list(ledger.balances())
    again = Ledger(budgets, crossed=told.append)
    again.load([*kept, Balance("gone; dollars", (), 0, 5, 1 << 40)], NOON + 60)
    before = sorted(ledger.standings(NOON + 60), key=repr)
    assert sorted(again.standings(NOON + 60), key=repr) == before
    assert told == []
    each_tenant(again, ["acme"] * 2, NOON + 60)
    assert [(c.budget.name, c.percent) for c in told] == [("rolls", 80), ("all", 80)]


def test_another_limit_goes_on_with_what_was_spent() -> None:
    """Another window, unit or scope is another budget."""
    ledger = Ledger([a_budget(limit=100)])
    ledger.settle(take(ledger, 60), costs(60))
    kept = list(ledger.balances())
    others = [
        a_budget(limit=70),
        a_budget(window=DAY),
        a_budget(unit=Unit.TOKENS),
        a_budget(scope=Scope(tenant="acme")),
    ]
    found = []
    for budget in others:
        again = Ledger([budget])
        again.load(kept, NOON)
        found.append(standing(again))
    assert found == [[(60, 0)], [(0, 0)], [(0, 0)], [(0, 0)]]


def test_it_shows_what_it_holds() -> None:
    """The repr is for operators."""
    ledger = Ledger([a_budget()])
    held = take(ledger, 10)
    assert repr(ledger) == "<Ledger, 1 budgets, 1 accounts, 1 open>"
    assert "Reservation 1 open" in repr(held)
    assert repr(held.charges[0].account) == "<Account of all, 0 spent, 10 reserved>"
