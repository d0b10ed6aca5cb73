"""The accounts of one budget, by the values of its scope.

Callers choose tenants and labels, so accounts are bounded:
those beyond the bound share one, which is as strict to all of them together as to one.
"""

from typing import Final

from sidecard.policy.account import Account
from sidecard.policy.budget import Budget
from sidecard.policy.budget_window import Calendar
from sidecard.policy.calendar_account import CalendarAccount
from sidecard.policy.rolling_account import RollingAccount

OTHERS: Final = "(others)"


class Accounts:
    """The accounts of one budget."""

    __slots__ = ("_full_until", "_limit", "budget", "found")

    def __init__(self, budget: Budget, limit: int) -> None:
        self.budget = budget
        self.found: dict[tuple[str, ...], Account] = {}
        # A rolling account has sixty slices, where one by the calendar has two windows.
        self._limit = limit if isinstance(budget.window, Calendar) else max(1, limit // 5)
        self._full_until = 0.0
        if not budget.scope.divided:
            self.get((), 0.0)  # So that it is shown before anything is spent.

    def adopt(self, budget: Budget) -> None:
        """Go on as those of a budget with the same identity; of another limit all is told anew."""
        if budget.limit != self.budget.limit:
            for own in self.found.values():
                own.untell()
        self.budget = budget

    def get(self, values: tuple[str, ...], wall: float) -> Account:
        """Return the account of these values, or that of all who came too late for their own."""
        found = self.found
        own = found.get(values)
        if own is not None:
            return own
        if len(found) >= self._limit and not self._room(wall):
            values = (OTHERS,) * len(values)
            if values in found:
                return found[values]
        own = found[values] = self._new(values)
        return own

    def _room(self, wall: float) -> bool:
        """Forget what is idle; that is looked for once a minute."""
        if wall < self._full_until < wall + 2 * 60:
            return False
        for values in [values for values, own in self.found.items() if own.idle(wall)]:
            del self.found[values]
        if len(self.found) < self._limit:
            return True
        self._full_until = wall + 60
        return False

    def _new(self, values: tuple[str, ...]) -> Account:
        window = self.budget.window
        if isinstance(window, Calendar):
            return CalendarAccount(values, window)
        return RollingAccount(values, window)

    def __repr__(self) -> str:
        return f"<Accounts of {self.budget.name}, {len(self.found)} of {self._limit}>"
