"""How budgets stand, as operators are told: amounts, and where in its window an account is."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from sidecard.policy.budget import Amounts, Beyond, Budget, Facts, Unit
from sidecard.policy.budget_window import Calendar, Per, Rolling, Window
from sidecard.policy.ledger import Ledger, Reservation
from sidecard.policy.standing import nearest, told

BERLIN = ZoneInfo("Europe/Berlin")
LONG_DAY = datetime(2026, 10, 25, 12, tzinfo=BERLIN).timestamp()
"""Noon of the day that has 25 hours."""


@pytest.mark.parametrize(
    ("window", "window_s", "ends_in_s"),
    [
        (Calendar(Per.DAY, BERLIN, "Europe/Berlin"), 25 * 3_600, 12 * 3_600),
        (Calendar(Per.MONTH, ZoneInfo("UTC")), 31 * 86_400, 6 * 86_400 + 13 * 3_600),
        (Calendar(Per.HOUR, ZoneInfo("UTC")), 3_600, 3_600),
        (Rolling(Per.MONTH), 30 * 86_400, None),
    ],
)
def test_where_in_its_window_an_account_is(
    window: Window, window_s: int, ends_in_s: float | None
) -> None:
    """A calendar window has its own length and an end; a rolling one never ends."""
    ledger = Ledger([Budget("all", Unit.CALLS, 10, window)])
    [standing] = nearest(ledger, LONG_DAY, 5)
    found = told(standing, LONG_DAY)
    assert (found["window_s"], found["ends_in_s"]) == (window_s, ends_in_s)


@pytest.mark.parametrize("beyond", list(Beyond))
def test_what_is_left_and_whether_it_holds(beyond: Beyond) -> None:
    """What attempts hold is no longer left; only a budget that warns lets more be spent."""
    ledger = Ledger([Budget("all", Unit.CALLS, 3, Rolling(Per.HOUR), beyond=beyond)])
    held = ledger.reserve(Facts("acme", "default"), Amounts(None, 1), LONG_DAY)
    assert isinstance(held, Reservation)
    found = told(nearest(ledger, LONG_DAY, 5)[0], LONG_DAY)
    assert (found["spent"], found["reserved"], found["left"]) == (0, 1, 2)
    assert found["hard"] == (beyond is not Beyond.WARN)
