"""Hedging: when an attempt is late, and when a second is due beside it."""

from sidecard.core.trail import Attempt
from sidecard.policy.hedge import HedgePolicy, due, late_s, sign_s
from sidecard.policy.latency import ENOUGH, LatencyQuantiles


def test_when_an_attempt_is_late() -> None:
    """The fixed delay, or the learned one but not less than the least; from when it was sent."""
    times = LatencyQuantiles()
    assert late_s(HedgePolicy(delay_s=0.01), times) == 0.01
    assert late_s(HedgePolicy(), times) is None
    for _ in range(ENOUGH):
        times.record(0.002, 1.0)
    assert late_s(HedgePolicy(), times) == 0.05
    attempt = Attempt(1, "t", began=10.0)
    assert due(attempt, 2.0, 11.0) == 12.0
    assert due(None, 0.001, 11.0) == 11.05
    attempt.first_event_s = 0.0
    assert due(attempt, 2.0, 11.0) is None


def test_the_first_sign_of_an_answer() -> None:
    """It is the first content, or the whole answer where that came in one piece."""
    attempt = Attempt(1, "t", began=10.0, duration_s=3.0)
    assert sign_s(attempt) == 3.0
    attempt.first_event_s = 0.4
    assert sign_s(attempt) == 0.4
