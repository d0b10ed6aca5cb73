"""Budgets in the configuration: what they become, and every mistake with its place."""

from zoneinfo import ZoneInfo

import pytest

from sidecard.config.budget_list import budgets_of
from sidecard.policy.budget import Beyond, Budget, Scope, Unit
from sidecard.policy.budget_window import Calendar, Per, Rolling
from tests.config.conftest import Refused, Taken

HERE = "(file sidecard.yaml, line 1)"


def limits(*texts: str) -> str:
    return f"budgets: {{limits: [{', '.join(texts)}]}}"


def test_what_is_configured_is_what_counts(taken: Taken) -> None:
    """Each field has its effect, and amounts are exact."""
    config = taken(
        limits(
            "{name: all, dollars: 0.000000001}",
            "{name: b, tokens: 5, per: day, zone: Asia/Kolkata, tenant: '*', beyond: step_down}",
            "{name: c, calls: 0, per: hour, window: rolling, route: default, "
            "labels: {z: '*', a: x}, beyond: warn}",
        )
    ).config
    utc, kolkata = ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata")
    assert budgets_of(config) == (
        Budget("all", Unit.DOLLARS, 1, Calendar(Per.MONTH, utc)),
        Budget(
            "b",
            Unit.TOKENS,
            5,
            Calendar(Per.DAY, kolkata, "Asia/Kolkata"),
            Scope(tenant="*"),
            Beyond.STEP_DOWN,
        ),
        Budget(
            "c",
            Unit.CALLS,
            0,
            Rolling(Per.HOUR),
            Scope(route="default", labels=(("a", "x"), ("z", "*"))),
            Beyond.WARN,
        ),
    )


def test_names_that_a_call_can_have_are_taken(taken: Taken) -> None:
    """A star in a label's value may be the caller's own."""
    text = limits(
        "{name: a, calls: 1, tenant: 'Acme:eu@1', route: claude-haiku-5-5, labels: {k: 'a*'}}"
    )
    [budget] = budgets_of(taken(text).config)
    assert budget.scope == Scope("Acme:eu@1", "claude-haiku-5-5", (("k", "a*"),))


def test_without_any_there_are_none(taken: Taken) -> None:
    """The default is no budget."""
    assert budgets_of(taken(None).config) == ()


FIRST = "budgets.limits[0]"
MISTAKES = {
    "{name: a}": f"{FIRST}.name: expected one of dollars, tokens or calls to be given {HERE}",
    "{name: a, dollars: 1, calls: 2}": (
        f"{FIRST}.calls: expected one of dollars, tokens and calls alone; dollars is given, too "
        f"{HERE}"
    ),
    "{dollars: 1}": f"{FIRST}.name: expected to be given, as it has no default {HERE}",
    "{name: A b, dollars: 1}": (
        f"{FIRST}.name: expected a name: up to 63 of a-z, 0-9, '.', '_' and '-', the first a "
        f"letter or digit, got 'A b' {HERE}"
    ),
    "{name: a, dollars: -1}": (
        f"{FIRST}.dollars: expected US dollars from 0 to 1000000, as a decimal number of at most "
        f"nine places {HERE}"
    ),
    "{name: a, calls: 1.5}": (
        f"{FIRST}.calls: expected a whole number of attempts from 0 to 1000000000000000, got 1.5 "
        f"{HERE}"
    ),
    "{name: a, calls: 1, per: week}": (
        f"{FIRST}.per: expected minute, hour, day or month, got 'week' {HERE}"
    ),
    "{name: a, calls: 1, zone: Mars/Base}": (
        f"{FIRST}.zone: expected a time zone of the IANA's list, as Europe/Berlin, that this "
        f"machine knows {HERE}"
    ),
    "{name: a, calls: 1, zone: ../../etc/passwd}": (
        f"{FIRST}.zone: expected a time zone of the IANA's list, as Europe/Berlin, that this "
        f"machine knows {HERE}"
    ),
    "{name: a, calls: 1, zone: UTC, window: rolling}": (
        f"{FIRST}.zone: a rolling window has no midnight; expected no zone, or window: calendar "
        f"{HERE}"
    ),
    "{name: a, calls: 1, route: fast}": (
        f"{FIRST}.route: no call can take fast; expected a route, or a model that may be named "
        f"directly {HERE}"
    ),
    "{name: a, calls: 1, tenant: 'team-*'}": (
        f"""{FIRST}.tenant: no tenant can be called 'team-*'; expected a name, or "*" for each """
        f"(patterns aren't taken here) {HERE}"
    ),
    "{name: a, calls: 1, route: 'claude-*'}": (
        f"{FIRST}.route: no model is called claude-*; expected a route, a model's id, or "
        f""""*" for each (patterns aren't taken here) {HERE}"""
    ),
    "{name: a, calls: 1, labels: {team: ''}}": (
        f"{FIRST}.labels.team: expected a value of up to 128 characters, or "
        f""""*" for each, got '' {HERE}"""
    ),
    "{name: a, calls: 1, labels: {'': a}}": (
        f"{FIRST}.labels.'': expected a label's key: 1 to 63 characters, got '' {HERE}"
    ),
    "{name: a, call: 1}": f"{FIRST}.call: unknown key; did you mean calls? {HERE}",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_has_its_sentence(text: str, refused: Refused) -> None:
    """Where, what was expected and what was there."""
    assert refused(limits(text))[0] == MISTAKES[text]


@pytest.mark.parametrize("text", ["dollars: many", "tokens: -1", "calls: 1.5"])
def test_a_unit_that_is_no_good_is_one_mistake(text: str, refused: Refused) -> None:
    """It was given, after all."""
    [problem] = refused(limits(f"{{name: a, {text}}}"))
    assert problem.startswith(f"{FIRST}.{text.partition(':')[0]}: expected ")


def test_names_are_given_once(refused: Refused) -> None:
    """What was spent is kept under them."""
    assert refused(limits("{name: a, calls: 1}", "{name: a, tokens: 1}")) == [
        f"budgets.limits[1].name: is the name of {FIRST} too; expected each once {HERE}"
    ]


@pytest.mark.parametrize(
    ("more", "number"),
    [
        ("prices: {unknown: auto}", 1),
        ("prices: {unknown: allow}", 0),
        ("prices: {models: {m: {input: 1, output: 1}}}", 0),
    ],
)
@pytest.mark.parametrize("beyond", ["refuse", "warn"])
def test_a_target_without_a_price_could_never_be_asked(
    more: str, number: int, beyond: str, taken: Taken, refused: Refused
) -> None:
    """It is a mistake where dollars are limited, unless it is taken for free or only warned of."""
    budget = limits(f"{{name: a, dollars: 1, beyond: {beyond}}}")
    text = f"{budget}\nroutes: {{default: {{targets: [{{model: m}}]}}}}\n{more}"
    if number and beyond == "refuse":
        [problem] = refused(text)
        assert problem.startswith(
            f"routes.default.targets[0].model: has no known price, and {FIRST}.dollars limits"
        )
    else:
        taken(text)
