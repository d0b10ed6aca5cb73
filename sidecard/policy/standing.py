"""How budgets stand, for operators: the accounts that matter, in words and numbers."""

from sidecard.core.jsonio import JsonObject
from sidecard.policy.budget import Unit
from sidecard.policy.ledger import Ledger, Standing


def nearest(ledger: Ledger, wall: float, most: int) -> list[Standing]:
    """Return at most so many accounts of each budget, the fullest first."""
    order = {budget.name: place for place, budget in enumerate(ledger.budgets)}
    return sorted(
        ledger.standings(wall, most),
        key=lambda found: (order[found.budget.name], -found.spent - found.reserved),
    )


def told(standing: Standing, wall: float) -> JsonObject:
    """Return how an account stands, as JSON can say it; dollars in billionths."""
    budget = standing.budget
    used = standing.spent + standing.reserved
    resets_at = standing.resets_at
    return {
        "budget": budget.name,
        "scope": budget.scope.name,
        "of": list(standing.values),
        "unit": "nano_usd" if budget.unit is Unit.DOLLARS else budget.unit.value,
        "window": budget.window.name,
        "beyond": budget.beyond.value,
        "limit": budget.limit,
        "spent": standing.spent,
        "reserved": standing.reserved,
        "left": max(budget.limit - used, 0),
        "resets_in_s": None if resets_at is None else max(resets_at - wall, 0.0),
    }
