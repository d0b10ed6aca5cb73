"""Budgets: whose calls are counted, in what, in which window, and what becomes of those beyond.

A budget of a scope with a star counts each value for itself: one for each tenant.
A call that has no such label is counted as one whose label is empty, so that none escapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from sidecard.policy.budget_window import Window

EACH: Final = "*"


class Unit(Enum):
    """What a budget counts: nano-US-dollars, tokens of input and output, or attempts."""

    DOLLARS = "dollars"
    TOKENS = "tokens"
    CALLS = "calls"


class Beyond(Enum):
    """What becomes of an attempt whose worst case doesn't fit.

    REFUSE ends the call. STEP_DOWN refuses this target alone: a cheaper one may fit.
    WARN lets it be made.
    """

    REFUSE = "refuse"
    STEP_DOWN = "step_down"
    WARN = "warn"


class Facts(NamedTuple):
    """What of a call its budgets go by."""

    tenant: str
    route: str
    labels: Mapping[str, object] = {}


class Amounts(NamedTuple):
    """What an attempt costs, at most or in the end; `nano_usd` is None without a price."""

    nano_usd: int | None
    tokens: int
    calls: int = 1

    def of(self, unit: Unit) -> int | None:
        """Return how much a budget of that unit counts."""
        if unit is Unit.DOLLARS:
            return self.nano_usd
        return self.tokens if unit is Unit.TOKENS else self.calls


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose calls: all those to which everything here applies. None, or no label: whatever it is.

    `EACH` stands for any value, and gives each an account of its own.
    """

    tenant: str | None = None
    route: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    def values(self, facts: Facts) -> tuple[str, ...] | None:
        """Return the values that a call has where the scope has a star; None for another's call."""
        found: list[str] = []
        for wanted, value in ((self.tenant, facts.tenant), (self.route, facts.route)):
            if wanted == EACH:
                found.append(value)
            elif wanted is not None and wanted != value:
                return None
        for key, wanted in self.labels:
            own = str(facts.labels.get(key, ""))
            if wanted == EACH:
                found.append(own)
            elif wanted != own:
                return None
        return tuple(found)

    @property
    def divided(self) -> bool:
        """Whether it has more than one account."""
        return EACH in (self.tenant, self.route, *[value for _, value in self.labels])

    @property
    def name(self) -> str:
        """What tells it from other scopes, in words."""
        parts = [f"tenant {self.tenant}"] if self.tenant is not None else []
        if self.route is not None:
            parts.append(f"route {self.route}")
        parts += [f"label {key}={value}" for key, value in self.labels]
        return ", ".join(parts) or "everything"


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit: `limit` is in nano-US-dollars, tokens or attempts, by `unit`.

    `identity` is what its accounts are kept under: with another limit they go on, else they
    are others. `hard`: nothing is spent beyond it.
    """

    name: str
    unit: Unit
    limit: int
    window: Window
    scope: Scope = Scope()
    beyond: Beyond = Beyond.REFUSE
    identity: str = field(init=False, repr=False)
    hard: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out once what every attempt asks for."""
        parts = (self.name, self.unit.value, self.window.name, self.scope.name)
        object.__setattr__(self, "identity", "; ".join(parts))
        object.__setattr__(self, "hard", self.beyond is not Beyond.WARN)
