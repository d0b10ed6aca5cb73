"""How budgets stand, for operators: the accounts that matter, in words and numbers."""

from sidecard.core.jsonio import JsonObject
from sidecard.policy.budget import Unit
from sidecard.policy.budget_window import Rolling
from sidecard.policy.ledger import Ledger, Standing


def nearest(ledger: Ledger, wall: float, most: int) -> list[Standing]:
    """Return at most so many accounts of each budget, the fullest first."""
    order = {budget.name: place for place, budget in enumerate(ledger.budgets)}
    return sorted(
        ledger.standings(wall, most),
        key=lambda found: (order[found.budget.name], -found.spent - found.reserved),
    )


def told(standing: Standing, wall: float) -> JsonObject:
    """Return how an account stands, as JSON can say it; dollars in billionths.

    `window_s` is how long its window is, this one, and `ends_in_s` when that ends,
    None for a rolling one; `resets_in_s` is when all is free again if nothing comes.
    """
    budget = standing.budget
    used = standing.spent + standing.reserved
    resets_at = standing.resets_at
    resets_in_s = None if resets_at is None else max(resets_at - wall, 0.0)
    rolling = isinstance(budget.window, Rolling)
    return {
        "budget": budget.name,
        "scope": budget.scope.name,
        "of": list(standing.values),
        "unit": "nano_usd" if budget.unit is Unit.DOLLARS else budget.unit.value,
        "window": budget.window.name,
        "window_s": _window_s(standing),
        "ends_in_s": None if rolling else resets_in_s,
        "beyond": budget.beyond.value,
        "hard": budget.hard,
        "limit": budget.limit,
        "spent": standing.spent,
        "reserved": standing.reserved,
        "left": max(budget.limit - used, 0),
        "resets_in_s": resets_in_s,
    }


def _window_s(standing: Standing) -> int:
    """Return the length of an account's window: a month has its days, a day 23 to 25 hours."""
    window = standing.budget.window
    if isinstance(window, Rolling) or standing.resets_at is None:
        return window.per.length_s
    span = window.span(standing.resets_at - 1)
    return span.end - span.start
