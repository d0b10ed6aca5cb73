"""What routes and targets may set, and what that must be to the rest."""

import pytest

from tests.config.conftest import Refused, Taken

HERE = "(file sidecard.yaml, line 1)"


def default(route: str) -> str:
    """Return a configuration whose default route has these fields."""
    return f"routes: {{default: {{{route}}}}}"


def targets(*texts: str, more: str = "") -> str:
    """Return a configuration with these targets of the default route."""
    return default(f"targets: [{', '.join(f'{{{text}}}' for text in texts)}]{more}")


def with_m(route: str) -> str:
    """Return a configuration whose default route has these fields beside its target."""
    return targets("model: m", more=f", {route}")


ROUTE = "routes.default"
TARGET = "routes.default.targets[0]"

MISTAKES = {
    targets("model: m", "model: n", "model: m"): (
        f"{ROUTE}.targets[2].model: is the model of {TARGET} too; expected each once in a route"
    ),
    with_m("last_resorts: [stale, static]"): (
        f"{ROUTE}.last_resorts: static needs a text to answer with; "
        "expected static_message to be set too"
    ),
    with_m("last_resorts: [stale, stale]"): f"{ROUTE}.last_resorts: expected each at most once",
    with_m("last_resorts: [deferred]"): (
        f"{ROUTE}.last_resorts[0]: expected stale or static, got 'deferred'"
    ),
    with_m("static_message: 5"): (
        f"{ROUTE}.static_message: expected a text of at most 10000 characters, got 5"
    ),
    with_m("retry: {budget_ratio: 0.1}"): (
        f"{ROUTE}.retry.budget_ratio: can't be set for one route, as the budget is one for the "
        "whole daemon; expected retry.budget_ratio"
    ),
    with_m("retry: {attempts: 1}"): (
        f"{ROUTE}.retry.attempts: unknown key; did you mean max_attempts?"
    ),
    with_m("max_attempts: 1"): (
        f"{ROUTE}.max_attempts: unknown key; did you mean retry.max_attempts?"
    ),
    with_m("breaker: {open_s: 1}"): (
        f"{ROUTE}.breaker: unknown key; expected one of targets, max_tokens, last_resorts, "
        "static_message, continue_stream, retry, hedge, admission, cache, input, structured"
    ),
    with_m("retry: {base_s: 9}"): (
        f"{ROUTE}.retry.base_s: expected {ROUTE}.retry.base_s (9) to be at most "
        "retry.max_delay_s (8)"
    ),
    with_m("cache: {max_bytes: 4194304}"): (
        f"{ROUTE}.cache.max_bytes: unknown key; did you mean cache.max_bytes?"
    ),
    with_m("cache: {stale_if_error_s: 5, stale_while_revalidate_s: 6}"): (
        f"{ROUTE}.cache.stale_while_revalidate_s: expected {ROUTE}.cache.stale_while_revalidate_s "
        f"(6) to be at most {ROUTE}.cache.stale_if_error_s (5)"
    ),
    with_m("cache: {ttl_s: 31622401}"): (
        f"{ROUTE}.cache.ttl_s: expected at most 31622400 seconds, which is a year, got 31622401.0"
    ),
    with_m("cache: {stop_reasons: [end_turn, End]}"): (
        f"{ROUTE}.cache.stop_reasons[1]: expected a stop reason of the upstream, as end_turn, "
        "got 'End'"
    ),
    with_m("last_resorts: [stale], cache: {enabled: false}"): (
        f"{ROUTE}.last_resorts: stale answers come from the cache; expected "
        f"{ROUTE}.cache.enabled to be true"
    ),
    with_m("last_resorts: [stale], cache: {stale_if_error_s: 0}"): (
        f"{ROUTE}.last_resorts: stale answers come from the cache; expected "
        f"{ROUTE}.cache.stale_if_error_s to be more than 0"
    ),
    with_m("admission: {in_flight: 4, adaptive: true}"): (
        f"{ROUTE}.admission.in_flight: expected admission.adaptive_min (8) to be at most "
        f"{ROUTE}.admission.in_flight (4), as {ROUTE}.admission.adaptive is true"
    ),
    targets("model: m, breaker: {open_s: 61}"): (
        f"{TARGET}.breaker.open_s: expected {TARGET}.breaker.open_s (61) to be at most "
        "breaker.max_open_s (60)"
    ),
    targets("model: m, breaker: {window: count, window_calls: 9}"): (
        f"{TARGET}.breaker.window_calls: expected breaker.minimum_calls (10) to be at most "
        f"{TARGET}.breaker.window_calls (9), as {TARGET}.breaker.window is 'count'"
    ),
    targets("model: m, timeouts: {idle_s: 601}"): (
        f"{TARGET}.timeouts.idle_s: expected {TARGET}.timeouts.idle_s (601) to be at most "
        "timeouts.total_s (600)"
    ),
    targets("model: m, timeouts: {total_s: 9}"): (
        f"{TARGET}.timeouts.total_s: can't be set for one target; expected first_event_s or "
        "idle_s, or timeouts.total_s for all"
    ),
    targets("model: m, limits: {requests_per_minute: 0}"): (
        f"{TARGET}.limits.requests_per_minute: expected a whole number from 1 to 10000000000, "
        "or null, got 0"
    ),
    targets("model: m, slow_s: 3"): f"{TARGET}.slow_s: unknown key; did you mean breaker.slow_s?",
}


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_of_a_route_has_its_sentence(text: str, refused: Refused) -> None:
    """One problem each, at the field that was set, with the other it doesn't go with."""
    assert refused(text) == [f"{MISTAKES[text]} {HERE}"]


def test_what_is_set_for_all_is_told_for_all(refused: Refused) -> None:
    """A mistake of a global section isn't told again for each route and target."""
    text = with_m("retry: {max_attempts: 1}, hedge: {enabled: true}")
    [problem] = refused(f"breaker: {{open_s: 61}}\n{text}")
    assert problem.startswith("breaker.open_s: ")


TWO = (
    "routes: {{default: {{targets: [{{model: x}}, {{model: m, {}}}]}}, "
    "b: {{targets: [{{model: m{}}}]}}}}"
)

CONFLICTS = {
    ("breaker: {open_s: 5}", ", breaker: {open_s: 6}"): (
        "routes.b.targets[0].breaker.open_s: expected 5.0, as "
        "routes.default.targets[1].breaker.open_s has it for the same model, got 6.0; "
        "what is set in one route holds in all"
    ),
    ("limits: {requests_per_minute: 5}", ", limits: {requests_per_minute: null}"): (
        "routes.b.targets[0].limits.requests_per_minute: expected 5, as "
        "routes.default.targets[1].limits.requests_per_minute has it for the same model, "
        "got nothing; what is set in one route holds in all"
    ),
    # Right by themselves, and a mistake together.
    ("breaker: {open_s: 50}", ", breaker: {max_open_s: 20}"): (
        "routes.default.targets[1].breaker.open_s: expected "
        "routes.default.targets[1].breaker.open_s (50) to be at most "
        "routes.b.targets[0].breaker.max_open_s (20)"
    ),
}


@pytest.mark.parametrize("both", CONFLICTS)
def test_a_model_is_not_set_differently_in_two_routes(
    both: tuple[str, str], refused: Refused
) -> None:
    """A model has one breaker, one set of limits and timeouts: both places are named."""
    assert refused(TWO.format(*both)) == [f"{CONFLICTS[both]} {HERE}"]


FINE = [
    TWO.format("breaker: {open_s: 5}", ""),
    TWO.format("breaker: {open_s: 5}", ", breaker: {open_s: 5, probes: 1}"),
    TWO.format("timeouts: {idle_s: 5}", ", timeouts: {first_event_s: 5}"),
    with_m("last_resorts: [static], static_message: Later."),
    with_m("last_resorts: [stale], continue_stream: true"),
    with_m("static_message: Later."),
    with_m("retry: {}, hedge: {min_delay_s: 1}, admission: {queue: 1}"),
    with_m("retry: {base_s: 9, max_delay_s: 9, max_attempts: 9, max_attempts_per_call: 9}"),
    targets("model: m, timeouts: {first_event_s: 600, idle_s: 1}"),
    # The total follows a first-event timeout that is set for all.
    targets("model: m, timeouts: {idle_s: 800}") + "\ntimeouts: {first_event_s: 900}",
]


@pytest.mark.parametrize("text", FINE, ids=range(len(FINE)))
def test_what_goes_together_is_fine(text: str, taken: Taken) -> None:
    """No rule refuses more than it says."""
    assert taken(text).given


TOGETHER = {
    # What is wrong at a route isn't judged as if it were left to what holds for all.
    with_m("retry: {base_s: x, max_delay_s: 0.1}"): [f"{ROUTE}.retry.base_s"],
    targets("model: m, breaker: {max_open_s: 0, open_s: 99}"): [f"{TARGET}.breaker.max_open_s"],
    # Where a target is broken nothing is said of those behind it, which would be misplaced.
    targets("model: 5", "model: m, breaker: {open_s: 61}"): [f"{TARGET}.model"],
    targets("model: m, breaker: {open_s: 61}", "model: 5"): [
        f"{TARGET}.breaker.open_s", f"{ROUTE}.targets[1].model",
    ],
    targets("model: 5", "model: x", "model: y", "model: x"): [f"{TARGET}.model"],
    with_m("last_resorts: [static], retry: {base_s: 9, max_attempts: 7, budget_ratio: 0}"): [
        f"{ROUTE}.last_resorts", f"{ROUTE}.retry.base_s", f"{ROUTE}.retry.budget_ratio",
        f"{ROUTE}.retry.max_attempts",
    ],
    with_m("last_resorts: [static], static_message: 5"): [f"{ROUTE}.static_message"],
    targets("model: m, timeouts: {idle_s: 9}") + "\ntimeouts: {total_s: x}": ["timeouts.total_s"],
}  # fmt: skip


@pytest.mark.parametrize("text", TOGETHER, ids=range(len(TOGETHER)))
def test_no_mistake_hides_another(text: str, refused: Refused) -> None:
    """All are told at once, and nothing is said about what is wrong already."""
    assert sorted(line.split(": ")[0] for line in refused(text)) == sorted(TOGETHER[text])
