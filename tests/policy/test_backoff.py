"""Backoff: which failures are tried again, after how long, and when there is no use in it."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.errors import (
    BreakerOpen,
    Overloaded,
    RateLimited,
    SidecardError,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.policy.backoff import Again, GiveUp, RetryPolicy, Why, delay_s, may_pass, verdict
from sidecard.upstream.classify import TYPES, from_status, from_wire
from sidecard.upstream.wire.failure import Kind, WireFailure

POLICY = RetryPolicy(max_attempts=4, base_s=0.5, max_delay_s=3.0)
DOWN = UpstreamUnavailable("down")


def judged(error: SidecardError = DOWN, **changes: object) -> Again | GiveUp:
    """Return the verdict on a first failure with 10 s left, with anything of it changed."""
    fields: dict[str, object] = {
        "failed": 1,
        "left": 5,
        "now": 100.0,
        "deadline": 110.0,
        "needs_s": 0.0,
        "chance": lambda: 0.5,
    }
    return verdict(POLICY, error, **{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failed", "most_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (50, 3.0), (10**9, 3.0)]
)
def test_the_jitter_is_full_and_doubles(failed: int, most_s: float) -> None:
    """Each wait is drawn from all of 0 to the base, doubled each time, up to the longest."""
    waits = [delay_s(POLICY, failed, None, lambda drawn=drawn: drawn) for drawn in (0.0, 0.5, 1.0)]  # type: ignore[misc]
    assert waits == [0.0, most_s / 2, most_s]


@given(
    failed=st.integers(1, 100),
    floor_s=st.none() | st.floats(0, 7 * 86_400),
    seed=st.integers(0, 2**32),
)
def test_retry_after_is_a_floor_with_the_jitter_on_top(
    failed: int, floor_s: float | None, seed: int
) -> None:
    """No wait is shorter than what the upstream said, none longer than that and the jitter."""
    waited_s = delay_s(POLICY, failed, floor_s, random.Random(seed).random)  # noqa: S311
    jitter_s = delay_s(POLICY, failed, None, random.Random(seed).random)  # noqa: S311
    assert waited_s == (floor_s or 0.0) + jitter_s
    assert 0 <= jitter_s <= POLICY.max_delay_s


def test_callers_who_failed_together_come_back_apart() -> None:
    """A thousand that were told the same retry-after spread over all of the jitter."""
    chance = random.Random(7).random  # noqa: S311
    waits = sorted([delay_s(POLICY, 1, 10.0, chance) for _ in range(1000)])
    assert waits[0] < 10.01
    assert waits[-1] > 10.49
    assert max([b - a for a, b in pairwise(waits)]) < 0.01


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 520, 529])
def test_statuses_that_may_pass(status: int) -> None:
    """The upstream's limits, conflicts and faults are tried again."""
    assert may_pass(from_status(status, {}, b"", target="t", wall=0))


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 413, 415, 422, 451])
def test_statuses_that_stay(status: int) -> None:
    """What the caller or the operator has to change isn't tried again."""
    assert not may_pass(from_status(status, {}, b"", target="t", wall=0))


@pytest.mark.parametrize(("kind", "status"), TYPES.items())
def test_error_events_count_as_their_statuses(kind: str, status: int) -> None:
    """A 200 that turns out to be an error is tried again when that error's status would be."""
    error = from_wire(WireFailure(Kind.ERROR_EVENT, "no", error_type=kind), target="t")
    assert may_pass(error) is (status in {408, 409, 429} or status >= 500)


@pytest.mark.parametrize(
    "error", [BreakerOpen("open"), RateLimited("full"), Overloaded("full"), UpstreamInterrupted("")]
)
def test_refusals_of_our_own_are_final(error: SidecardError) -> None:
    """What was decided here, or broke after the commit, isn't asked again."""
    assert judged(error) == GiveUp(Why.FINAL)


@pytest.mark.parametrize("kind", [UpstreamRefused, UpstreamMisconfigured, UpstreamThrottled])
@pytest.mark.parametrize("word", [True, False])
def test_the_upstreams_word_counts_more_than_its_status(
    kind: type[UpstreamError], *, word: bool
) -> None:
    """`x-should-retry` is obeyed both ways, whatever the status."""
    error = kind("answered")
    error.should_retry = word
    assert judged(error) == (Again(0.25) if word else GiveUp(Why.FINAL))


@pytest.mark.parametrize(("failed", "left", "again"), [(3, 1, True), (4, 1, False), (1, 0, False)])
def test_attempts_are_limited_here_and_over_all_targets(
    failed: int, left: int, *, again: bool
) -> None:
    """The last of the policy's attempts isn't followed by another, nor the call's last."""
    decided = judged(failed=failed, left=left)
    assert isinstance(decided, Again) is again
    assert again or decided == GiveUp(Why.ATTEMPTS)


@given(
    left_s=st.floats(0, 60),
    needs_s=st.floats(0, 20),
    floor_s=st.floats(0, 10),
    drawn=st.floats(0, 1),
)
def test_no_attempt_starts_that_the_deadline_cant_fit(
    left_s: float, needs_s: float, floor_s: float, drawn: float
) -> None:
    """Either what is waited for and needed ends before the deadline, or nothing is waited for."""
    error = UpstreamThrottled("slow down", retry_after_s=floor_s)
    decided = judged(error, deadline=100.0 + left_s, needs_s=needs_s, chance=lambda: drawn)
    if isinstance(decided, Again):
        assert decided.delay_s >= floor_s
        assert 100.0 + decided.delay_s + needs_s < 100.0 + left_s
    else:
        assert decided.why is Why.DEADLINE
        assert floor_s + 0.5 * drawn + needs_s >= left_s - 1e-9
    assert error.retry_after_s == floor_s


@pytest.mark.parametrize(("retry_after_s", "again"), [(10.0, True), (10.1, False)])
def test_a_long_retry_after_is_not_waited_for(retry_after_s: float, *, again: bool) -> None:
    """Beyond the longest that is waited for, another target, or the caller, goes on at once."""
    decided = judged(UpstreamThrottled("slow down", retry_after_s=retry_after_s), deadline=1e6)
    assert isinstance(decided, Again) is again
    assert again or decided == GiveUp(Why.RETRY_AFTER)
