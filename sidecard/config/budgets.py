"""What can be configured of budgets, as in `schema`."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, Field, Strict

from sidecard.config.kinds import Count, Expect, Section, told
from sidecard.config.prices import Dollars
from sidecard.config.problems import shown
from sidecard.core.names import LABEL_CHARS, LABEL_KEY_CHARS, TENANT
from sidecard.policy.budget import EACH

_MOST_TOKENS = 10**15
_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"


def _zone(value: str) -> str:
    from zoneinfo import ZoneInfo  # noqa: PLC0415  # 4 ms, for those who have budgets

    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):  # Unknown; or no path, or not one of a zone.
        raise told(
            "expected a time zone of the IANA's list, as Europe/Berlin, that this machine knows"
        ) from None
    return value


def _tenant(value: str) -> str:
    if value != EACH and not TENANT.fullmatch(value):
        raise told(
            f'no tenant can be called {shown(value)}; expected a name, or "*" for each '
            "(patterns aren't taken here)"
        )
    return value


BudgetName: TypeAlias = Annotated[
    str,
    Strict(),
    Field(pattern=_NAME),
    Expect("a name: up to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit"),
]
Zone: TypeAlias = Annotated[
    str,
    Strict(),
    Len(1, 64),
    Expect("a time zone of the IANA's list, as Europe/Berlin"),
    AfterValidator(_zone),
]
Whose: TypeAlias = Annotated[str, Strict(), Len(1, 256), Expect('a name, or "*" for each')]
Label: TypeAlias = Annotated[
    str,
    Strict(),
    Len(1, LABEL_CHARS),
    Expect(f'a value of up to {LABEL_CHARS} characters, or "*" for each'),
]
LabelKey: TypeAlias = Annotated[
    str, Len(1, LABEL_KEY_CHARS), Expect(f"a label's key: 1 to {LABEL_KEY_CHARS} characters")
]
BudgetTokens: TypeAlias = Annotated[
    int,
    Strict(),
    Ge(0),
    Le(_MOST_TOKENS),
    Expect(f"a whole number of tokens from 0 to {_MOST_TOKENS}"),
]
BudgetCalls: TypeAlias = Annotated[
    int,
    Strict(),
    Ge(0),
    Le(_MOST_TOKENS),
    Expect(f"a whole number of attempts from 0 to {_MOST_TOKENS}"),
]


class BudgetLimit(Section):
    """A limit on what calls cost in a window of time: in dollars, tokens or attempts.

    It counts the calls to which all of `tenant`, `route` and `labels` apply that are set.
    Each attempt reserves the most that it can cost before it is sent, also retries and hedges,
    and at its end gives back what it didn't use. So nothing is spent beyond the limit.
    """

    name: BudgetName = Field(
        description="What it is called in answers, metrics and the ledger. What was spent is kept "
        "under it together with the window, the unit and whose it is: with one of those changed "
        "it begins anew, with another limit it goes on.",
    )
    dollars: Dollars | None = Field(
        None, description="The limit in US dollars. One of `dollars`, `tokens`, `calls` is given."
    )
    tokens: BudgetTokens | None = Field(
        None, description="The limit in tokens, of input and output, cached or not."
    )
    calls: BudgetCalls | None = Field(
        None,
        description="The limit in attempts that were sent; those that the upstream doesn't bill "
        "are given back.",
    )
    per: Literal["minute", "hour", "day", "month"] = Field(
        "month", description="How long a window is. A rolling month has 30 days."
    )
    window: Literal["calendar", "rolling"] = Field(
        "calendar",
        description="`calendar`: a window begins at the full minute or hour, at midnight or on the "
        "first of a month, and then all of the limit is free again. `rolling`: what counts is the "
        "last minute, hour, day or 30 days, in steps of a sixtieth.",
    )
    zone: Zone = Field(
        "UTC",
        description="The time zone of a calendar window, as `Europe/Berlin`: where its midnight "
        "is.",
    )
    tenant: Annotated[Whose, AfterValidator(_tenant)] | None = Field(
        None,
        description='Counts this tenant\'s calls; `"*"` gives each tenant a limit of its own. '
        "It is a whole name: `team-*` is a mistake. null: all tenants share it.",
    )
    route: Whose | None = Field(
        None,
        description="The same for routes. A model that is named directly is a route's name; "
        "a pattern of them, as `claude-*`, is a mistake.",
    )
    labels: Mapping[LabelKey, Label] = Field(
        {},
        description='The same for labels of calls, as `{team: "*"}`. A call that has no such label '
        "has an empty one. Any other value is compared as it is, with the stars in it.",
    )
    beyond: Literal["refuse", "step_down", "warn"] = Field(
        "refuse",
        description="What becomes of an attempt that doesn't fit. `refuse`: its call fails with "
        "BUDGET_EXHAUSTED. `step_down`: the route's next target is asked, if that is cheap enough "
        "to fit, then its last resorts. `warn`: it is made; the log tells when 50, 80 and 100 % "
        "are spent, as it does for each budget.",
    )


class Budgets(Section):
    """Limits on what calls cost, and the record of what they did.

    With a `data_dir` both are kept in its folder `ledger`, and a process that is killed at any
    moment forgets nothing: what was under way counts then with the most that it can have cost.
    Without one, both begin anew with each process. Calls that no budget counts are in the record,
    too, but for the last second of a process that is killed, and what was under way then.
    """

    limits: Annotated[tuple[BudgetLimit, ...], Len(0, 1000)] = Field(
        (), description="The budgets, as below. A call has to fit in each that counts it."
    )
    on_ledger_failure: Literal["closed", "open"] = Field(
        "closed",
        description="What becomes of calls that a budget counts while the ledger's file can't be "
        "written, as on a full disk. `closed`: they fail with BUDGET_EXHAUSTED, so that nothing is "
        "spent that a crash would forget. `open`: they are made, and counted in memory.",
    )
    usage_days: Count = Field(
        90,
        description="Days for which the record of what was used is kept, by hour, tenant, route "
        "and model: `sidecard usage` shows it. More takes more disk; of more than 500,000 rows the "
        "oldest go.",
    )
