"""`LatencyQuantiles`: near the exact quantiles of the last minutes."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.policy.latency import ENOUGH, ERROR, LEAST_S, MOST_S, LatencyQuantiles

times = st.floats(LEAST_S, MOST_S)


def filled(seconds: list[float], now: float = 100.0) -> LatencyQuantiles:
    quantiles = LatencyQuantiles()
    for each in seconds:
        quantiles.record(each, now)
    return quantiles


def exact(seconds: list[float], q: float) -> float:
    return sorted(seconds)[max(1, ceil(q * len(seconds))) - 1]


def near(found: float | None, exact: float | None) -> bool:
    """Whether a quantile is as near to the exact one as is promised."""
    if found is None or exact is None:
        return found is exact
    return exact / (1 + ERROR) * 0.999999 <= found <= exact * (1 + ERROR) * 1.000001


@given(st.lists(times, min_size=ENOUGH, max_size=200), st.floats(0, 1))
@settings(max_examples=150)
def test_within_its_error_of_the_exact_quantile(seconds: list[float], q: float) -> None:
    """No quantile is farther from the exact one than the share it promises."""
    assert near(filled(seconds).quantile(q), exact(seconds, q))
    assert ERROR < 0.1


steps = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 3.0, 9.5, 10.0, 25.0]), times, st.integers(1, 30)),
    max_size=30,
)


@given(steps, st.floats(0, 1))
@settings(max_examples=150)
def test_it_knows_one_half_and_forgets_after_two(
    steps: list[tuple[float, float, int]], q: float
) -> None:
    """It speaks of all since some moment that is one half ago or more, and at most two."""
    quantiles = LatencyQuantiles(half_s=10.0)
    noted: list[tuple[float, list[float]]] = []
    now = 100.0
    for wait_s, seconds, times_over in steps:
        now += wait_s
        noted.append((now, [seconds] * times_over))
        for _ in range(times_over):
            quantiles.record(seconds, now)
    found = quantiles.quantile(q)
    possible: list[float | None] = []
    for index in range(len(noted) + 1):
        forgotten, known = noted[:index], noted[index:]
        if all(at <= now - 10 for at, _ in forgotten) and all(at >= now - 20 for at, _ in known):
            samples = [each for _, seconds in known for each in seconds]
            possible.append(exact(samples, q) if len(samples) >= ENOUGH else None)
    assert any(near(found, each) for each in possible)


def test_few_samples_say_nothing() -> None:
    """Below twenty there is no quantile; the twentieth makes it known."""
    quantiles = filled([0.3] * (ENOUGH - 1))
    assert quantiles.quantile(0.95) is None
    quantiles.record(0.3, 100.0)
    assert quantiles.quantile(0.95) == pytest.approx(0.3, rel=ERROR)


@pytest.mark.parametrize("odd", [-1.0, 0.0, 1e-9, 1e9])
def test_times_out_of_bounds_count_as_the_bound(odd: float) -> None:
    """What is too short or too long to be true makes no error and no nonsense."""
    found = filled([odd] * ENOUGH).quantile(0.5)
    assert found is not None
    assert LEAST_S <= found <= MOST_S


def test_a_change_is_seen_within_minutes() -> None:
    """An upstream that gets slow is known as slow after the minutes that it promises."""
    quantiles = LatencyQuantiles()
    for second in range(600):
        quantiles.record(0.2 if second < 300 else 5.0, 1_000.0 + second)
    assert quantiles.quantile(0.01) == pytest.approx(5.0, rel=ERROR)


def test_after_a_pause_the_last_is_known_until_there_is_more() -> None:
    """A pause alone forgets nothing; the first record after it does, as the world moved on."""
    quantiles = filled([0.2] * 50)
    assert quantiles.quantile(0.5) == pytest.approx(0.2, rel=ERROR)
    quantiles.record(5.0, 100.0 + 2 * quantiles.half_s)
    assert quantiles.quantile(0.5) is None
    assert repr(quantiles) == "<LatencyQuantiles, 1 samples, too few>"
    assert "50 samples, p50 0." in repr(filled([0.2] * 50))
