"""Notes: what layers decided, a closed union, for whoever logs and counts it.

Layers know no log and no metric; they say what happened, once, where it happened.
"""

from dataclasses import dataclass
from typing import TypeAlias

from sidecard.core.ledger import LedgerOpened, LedgerOut, LedgerSetAside
from sidecard.core.store import StoreChecking, StoreKeysKept, StoreOpened, StoreOut, StoreSetAside


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A target's breaker went from one state to another, and `why` in words."""

    target: str
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class GateClosed:
    """The upstream limits our rate: nothing goes to the target for `for_s` seconds."""

    target: str
    for_s: float


@dataclass(frozen=True, slots=True)
class TurnCame:
    """An attempt waited `waited_s` seconds for its turn at a target's rate limit."""

    target: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class Retrying:
    """Attempt `attempt` of the call failed with `error`; another follows in `delay_s` seconds."""

    request_id: str
    target: str
    attempt: int
    error: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class RetriesEnded:
    """A failure that could have been retried wasn't.

    `why` is attempts, retry_after, deadline or budget.
    """

    request_id: str
    target: str
    error: str
    why: str


@dataclass(frozen=True, slots=True)
class Hedged:
    """No first event came in `after_s` seconds, and a second attempt was made."""

    request_id: str
    target: str
    after_s: float


@dataclass(frozen=True, slots=True)
class HedgeEnded:
    """One of the two attempts of a hedged call answered: `won` is first or second."""

    target: str
    won: str


@dataclass(frozen=True, slots=True)
class MovedOn:
    """A target failed the call, or was skipped, and `to` is next: a target or a last resort."""

    request_id: str
    target: str
    to: str
    error: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """A target answers that key, permission, billing or model name is wrong: act on it."""

    request_id: str
    target: str
    message: str


@dataclass(frozen=True, slots=True)
class StreamRescued:
    """A stream broke after commit and went on: `how` is continued or restarted."""

    request_id: str
    target: str
    to: str
    how: str
    error: str


@dataclass(frozen=True, slots=True)
class Shed:
    """A call was refused here before anything was sent: `layer` is edge, admit or rate_limit.

    At the edge it wasn't read, so that nobody knows its tenant and its route.
    """

    request_id: str
    tenant: str
    route: str
    layer: str
    why: str


@dataclass(frozen=True, slots=True)
class BudgetCrossed:
    """So many percent of a budget are spent: noted once in a window for each of its accounts.

    A hundred are noted, too, when eighty are spent and what comes next doesn't fit.

    `of` is the account's, such as a tenant, empty where there is one for all;
    `spent` and `limit` are amounts in words.
    """

    budget: str
    of: str
    percent: int
    spent: str
    limit: str


@dataclass(frozen=True, slots=True)
class BudgetRefused:
    """An attempt was refused, as it may cost `need`, and the budget has no room for that."""

    request_id: str
    tenant: str
    route: str
    target: str
    budget: str
    need: str


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """An answer breaks the schema that it was asked for with: `to` is asked, maybe once more."""

    request_id: str
    target: str
    to: str
    violations: int


@dataclass(frozen=True, slots=True)
class OutputJudged:
    """A call with a schema has its verdict.

    Valid it is plain, extracted or repaired; reasked when an answer before it wasn't valid;
    failed when none is.
    """

    request_id: str
    target: str
    route: str
    verdict: str


Note: TypeAlias = (
    BreakerChanged
    | GateClosed
    | TurnCame
    | Retrying
    | RetriesEnded
    | Hedged
    | HedgeEnded
    | MovedOn
    | Misconfigured
    | StreamRescued
    | Shed
    | BudgetCrossed
    | BudgetRefused
    | LedgerOpened
    | LedgerOut
    | LedgerSetAside
    | AskedAgain
    | OutputJudged
    | StoreOpened
    | StoreOut
    | StoreSetAside
    | StoreKeysKept
    | StoreChecking
)
