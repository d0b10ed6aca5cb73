"""Retries, breakers, limits, admission and hedging: their values, and what they are together."""

import pytest

from sidecard.config.schema import Config
from tests.config.conftest import Refused, Taken

HERE = "(file sidecard.yaml, line 1)"
WHOLE = "expected a whole number from 1 to 1000000"

PER_MINUTE = "expected a whole number from 1 to 10000000000, or null"


def test_the_defaults_are_those_agreed() -> None:
    """With nothing configured calls are retried, breakers trip and no limit is guessed at."""
    config = Config()
    assert config.retry.model_dump() == {
        "max_attempts": 3, "max_attempts_per_call": 6, "base_s": 0.25, "max_delay_s": 8,
        "max_retry_after_s": 10,
        "budget_ratio": 0.2, "budget_floor_per_s": 1,
    }  # fmt: skip
    assert config.breaker.model_dump() == {
        "mode": "auto", "window": "time", "window_s": 30, "window_calls": 100,
        "minimum_calls": 10, "failure_rate": 0.5, "slow_rate": 0.8, "slow_s": 30, "probes": 3,
        "open_s": 10, "open_growth": 2, "max_open_s": 60, "open_jitter": 0.1,
        "count_throttled": False,
    }  # fmt: skip
    assert config.limits.model_dump() == {
        "requests_per_minute": None, "input_tokens_per_minute": None,
        "output_tokens_per_minute": None, "follow_headers": True, "max_wait_s": 10,
        "longest_closed_s": 60,
    }  # fmt: skip
    assert config.admission.model_dump() == {
        "in_flight": 1024, "queue": 1024, "batch_max_wait_s": 30, "adaptive": False,
        "adaptive_min": 8, "adaptive_tolerance": 2,
    }  # fmt: skip
    assert config.hedge.model_dump() == {"enabled": False, "delay_s": None, "min_delay_s": 0.05}


VALUES = {
    "retry.max_attempts: 0": f"{WHOLE}, got 0",
    "retry.max_attempts_per_call: 2.5": f"{WHOLE}, got 2.5",
    "retry.base_s: 0": "expected a number of seconds greater than 0, got 0",
    "retry.budget_ratio: 1.1": "expected a number from 0 to 1, got 1.1",
    "retry.budget_ratio: -0.1": "expected a number from 0 to 1, got -0.1",
    "retry.budget_floor_per_s: -1": "expected a number per second from 0 to 1000000, got -1",
    "breaker.mode: open": "expected auto, forced_open or disabled, got 'open'",
    "breaker.window: calls": "expected time or count, got 'calls'",
    "breaker.failure_rate: 0": "expected a number greater than 0 and at most 1, got 0",
    "breaker.slow_rate: 50": "expected a number greater than 0 and at most 1, got 50",
    "breaker.open_growth: 0.5": "expected a number from 1 to 100, got 0.5",
    "breaker.probes: 0": f"{WHOLE}, got 0",
    "breaker.count_throttled: 1": "expected true or false, got 1",
    "limits.requests_per_minute: 0": f"{PER_MINUTE}, got 0",
    "limits.output_tokens_per_minute: many": f"{PER_MINUTE}, got 'many'",
    "limits.max_wait_s: 0": "expected a number of seconds greater than 0, got 0",
    "admission.in_flight: 0": f"{WHOLE}, got 0",
    "admission.queue: -1": f"{WHOLE}, got -1",
    "admission.adaptive_tolerance: 0.9": "expected a number from 1 to 100, got 0.9",
    "hedge.delay_s: 0": "expected a number of seconds greater than 0, got 0",
    "retry.max_attempt: 3": "unknown key; did you mean max_attempts?",
    "hedge.budget_ratio: 3": "unknown key; did you mean retry.budget_ratio?",
}


@pytest.mark.parametrize("text", VALUES)
def test_a_wrong_value_is_told(text: str, refused: Refused) -> None:
    """Each field says what it takes; no limit is 0 or less."""
    path, _, value = text.partition(": ")
    section, _, name = path.partition(".")
    assert refused(f"{section}: {{{name}: {value}}}") == [f"{path}: {VALUES[text]} {HERE}"]


OUT_OF_ORDER = {
    "retry: {base_s: 9}": (
        "retry.base_s: expected retry.base_s (9) to be at most retry.max_delay_s (8)"
    ),
    "retry: {max_delay_s: 0.1}": (
        "retry.max_delay_s: expected retry.base_s (0.25) to be at most retry.max_delay_s (0.1)"
    ),
    "retry: {max_attempts: 7}": (
        "retry.max_attempts: expected retry.max_attempts (7) to be at most "
        "retry.max_attempts_per_call (6)"
    ),
    "breaker: {open_s: 61}": (
        "breaker.open_s: expected breaker.open_s (61) to be at most breaker.max_open_s (60)"
    ),
    "breaker: {window: count, minimum_calls: 101}": (
        "breaker.minimum_calls: expected breaker.minimum_calls (101) to be at most "
        "breaker.window_calls (100), as breaker.window is 'count'"
    ),
    "admission: {adaptive: true, in_flight: 4}": (
        "admission.in_flight: expected admission.adaptive_min (8) to be at most "
        "admission.in_flight (4), as admission.adaptive is true"
    ),
    "hedge: {delay_s: 0.01}": (
        "hedge.delay_s: expected hedge.min_delay_s (0.05) to be at most hedge.delay_s (0.01)"
    ),
}


@pytest.mark.parametrize("text", OUT_OF_ORDER)
def test_fields_out_of_order_are_told(text: str, refused: Refused) -> None:
    """Of two fields the one that was set is named, with the values of both."""
    assert refused(text) == [f"{OUT_OF_ORDER[text]} {HERE}"]


FINE = [
    "retry: {base_s: 8, max_attempts: 6}",
    "breaker: {minimum_calls: 101}",
    "breaker: {window: count, minimum_calls: 100, failure_rate: 1, open_growth: 1}",
    "admission: {in_flight: 4}",
    "hedge: {enabled: true, delay_s: 0.05}",
    "limits: {requests_per_minute: null, input_tokens_per_minute: 1}",
]


@pytest.mark.parametrize("text", FINE)
def test_what_goes_together_is_fine(text: str, taken: Taken) -> None:
    """Bounds themselves are allowed, and a field without effect is in nobody's way."""
    assert taken(text).given
