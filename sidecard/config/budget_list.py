"""The budgets that are configured: as policies, and what no field of them can be checked alone."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from sidecard.config.budgets import BudgetLimit
from sidecard.config.price_list import prices_of
from sidecard.config.prices import NANO
from sidecard.config.problems import Mistake, Path, dotted
from sidecard.config.schema import Config
from sidecard.policy.budget import EACH, Beyond, Budget, Scope, Unit
from sidecard.policy.budget_window import Calendar, Per, Rolling, Window

_PATTERN: Final = "*?["
"""What is in a pattern of models, and in no model's id."""


def budgets_of(config: Config) -> tuple[Budget, ...]:
    """Return the budgets of a configuration that has no mistakes."""
    return tuple([_budget(limit) for limit in config.budgets.limits])


def mistakes(config: Config) -> Iterator[Mistake]:
    """Yield what doesn't go together in the budgets, and with the routes and prices."""
    first: dict[str, Path] = {}
    for index, limit in enumerate(config.budgets.limits):
        here: Path = ("budgets", "limits", index)
        yield from _units(limit, here)
        before = first.setdefault(limit.name, here)
        if before != here:
            told = f"is the name of {dotted(before)} too; expected each once"
            yield Mistake((*here, "name"), told, ((*before, "name"),))
        if limit.window == "rolling" and "zone" in limit.model_fields_set:
            told = "a rolling window has no midnight; expected no zone, or window: calendar"
            yield Mistake((*here, "zone"), told, ((*here, "window"),))
        yield from _route(config, limit, here)
    yield from _unpriced(config)


def _budget(limit: BudgetLimit) -> Budget:
    labels = tuple(sorted(limit.labels.items()))
    window: Window
    if limit.window == "rolling":
        window = Rolling(Per(limit.per))
    else:
        from zoneinfo import ZoneInfo  # noqa: PLC0415  # as in `budgets`

        window = Calendar(Per(limit.per), ZoneInfo(limit.zone), limit.zone)
    if limit.dollars is not None:
        unit, most = Unit.DOLLARS, int(limit.dollars * NANO)
    elif limit.tokens is not None:
        unit, most = Unit.TOKENS, limit.tokens
    else:
        unit, most = Unit.CALLS, limit.calls or 0
    scope = Scope(limit.tenant, limit.route, labels)
    return Budget(limit.name, unit, most, window, scope, Beyond(limit.beyond))


def _units(limit: BudgetLimit, here: Path) -> Iterator[Mistake]:
    names = [unit.value for unit in Unit if getattr(limit, unit.value) is not None]
    if not names:
        # One that was given, and is no good, is told already.
        units = tuple((*here, unit.value) for unit in Unit)
        told = "expected one of dollars, tokens or calls to be given"
        yield Mistake((*here, "name"), told, units)
    for name in names[1:]:
        told = f"expected one of dollars, tokens and calls alone; {names[0]} is given, too"
        yield Mistake((*here, name), told, ((*here, names[0]),))


def _route(config: Config, limit: BudgetLimit, here: Path) -> Iterator[Mistake]:
    route = limit.route
    if route is None or route == EACH or route in config.routes:
        return
    if any(sign in route for sign in _PATTERN):
        told = (
            f'no model is called {route}; expected a route, a model\'s id, or "*" for each '
            "(patterns aren't taken here)"
        )
        yield Mistake((*here, "route"), told)
    elif not any(fnmatchcase(route, pattern) for pattern in config.upstream.models):
        told = f"no call can take {route}; expected a route, or a model that may be named directly"
        yield Mistake((*here, "route"), told, (("upstream", "models"),))


def _unpriced(config: Config) -> Iterator[Mistake]:
    """Yield targets that a budget of dollars could never let be asked."""
    if config.prices.unknown != "auto":
        return
    hard = [
        (index, limit)
        for index, limit in enumerate(config.budgets.limits)
        if limit.dollars is not None and limit.beyond != "warn"
    ]
    prices = prices_of(config) if hard else None
    for name, route in config.routes.items() if prices else ():
        counting = [index for index, limit in hard if limit.route in (None, EACH, name)]
        for place, target in enumerate(route.targets):
            if counting and prices and prices.find(target.model) is None:
                budget: Path = ("budgets", "limits", counting[0], "dollars")
                told = (
                    f"has no known price, and {dotted(budget)} limits dollars; expected one in "
                    "prices.models, or prices.unknown: allow"
                )
                at = ("routes", name, "targets", place, "model")
                yield Mistake(at, told, (budget, ("prices", "unknown"), ("prices", "models")))
