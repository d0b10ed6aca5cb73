"""`AdaptiveLimit`: up step by step while all is well, down by a share when it isn't."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.policy.concurrency import AdaptiveLimit, AdaptivePolicy

NOW = 1_000.0


class Upstream:
    """Answers that come one after the other, a tenth of a second apart."""

    def __init__(self, limit: AdaptiveLimit) -> None:
        self.limit = limit
        self.now = NOW

    def answers(self, times: int, *first_event_s: float | None, busy: float = 1.0) -> None:
        """Have answers come after such times in turn, with that share of the permits in use."""
        for number in range(times):
            self.now += 0.1
            time_s = first_event_s[number % len(first_event_s)]
            in_flight = round(self.limit.limit * busy)
            began = self.now - (time_s or 0.0)
            self.limit.succeeded(self.now, began=began, first_event_s=time_s, in_flight=in_flight)


def an_upstream(max_limit: int = 100, **policy: object) -> Upstream:
    return Upstream(AdaptiveLimit(AdaptivePolicy(**policy), max_limit))  # type: ignore[arg-type]


@pytest.mark.parametrize(("initial", "expected"), [(None, 100), (20, 20), (1, 8), (500, 100)])
def test_it_starts_where_it_is_told(initial: int | None, expected: int) -> None:
    """At its upper bound if nothing is told, and between its bounds in any case."""
    assert an_upstream(initial=initial).limit.limit == expected


def test_an_upper_bound_below_the_lower_one_holds() -> None:
    """A limit of 3 permits isn't raised to 8 because that is the default minimum."""
    assert an_upstream(max_limit=3).limit.limit == 3


def test_it_grows_by_its_step_in_each_round() -> None:
    """When each of 20 permits was used once, there is one more; up to the upper bound."""
    upstream = an_upstream(initial=20)
    upstream.answers(21, 0.5)
    assert upstream.limit.limit == 21
    upstream.answers(10_000, 0.5)
    assert upstream.limit.limit == 100


def test_it_grows_only_while_it_is_used() -> None:
    """With half of the permits idle there is nothing to learn about more of them."""
    upstream = an_upstream(initial=20)
    upstream.answers(100, 0.5, busy=0.5)
    assert upstream.limit.limit == 20


def test_answers_without_a_first_event_let_it_grow() -> None:
    """Unary answers come whole: that they come is good news, how late says nothing."""
    upstream = an_upstream(initial=20)
    upstream.answers(21, None)
    assert upstream.limit.limit == 21


def test_first_events_that_come_late_lower_it() -> None:
    """Once the recent ones take more than twice the usual time; back in time, it rises again."""
    upstream = an_upstream()
    upstream.answers(100, 0.5)
    upstream.answers(30, 0.9)
    assert upstream.limit.limit == 100
    upstream.answers(30, 3.0)
    lowered = upstream.limit.limit
    assert lowered <= 90
    upstream.answers(3_000, 0.5)
    assert upstream.limit.limit > lowered


def test_a_long_prompt_now_and_then_lowers_nothing() -> None:
    """One in ten takes ten times as long: that is how calls are, not how the upstream is."""
    upstream = an_upstream()
    upstream.answers(5_000, *[0.5] * 9, 5.0)
    assert upstream.limit.limit == 100


def test_widely_spread_times_lower_nothing() -> None:
    """Times of a heavy-tailed distribution that doesn't change are no sign of anything."""
    upstream = an_upstream()
    chance = random.Random(7)  # noqa: S311
    upstream.answers(10_000, *[chance.lognormvariate(-0.7, 0.8) for _ in range(10_000)])
    assert upstream.limit.limit >= 90


def test_a_burst_of_failures_counts_once() -> None:
    """A hundred calls that were under way at once lower it once; one that came after, again."""
    upstream = an_upstream()
    for _ in range(100):
        upstream.limit.overloaded(NOW + 5, began=NOW)
    assert upstream.limit.limit == 90
    upstream.limit.overloaded(NOW + 7, began=NOW + 5)
    assert upstream.limit.limit == 81


def test_what_was_under_way_doesnt_raise_it() -> None:
    """Answers to calls from before it was lowered say nothing of the new limit."""
    upstream = an_upstream(initial=50)
    upstream.limit.overloaded(NOW, began=NOW - 1)
    for _ in range(100):
        upstream.limit.succeeded(NOW + 1, began=NOW - 1, first_event_s=0.5, in_flight=50)
    assert upstream.limit.limit == 45


def test_an_upstream_that_stays_slower_becomes_the_usual() -> None:
    """A new model that takes four times as long is not punished for ever."""
    upstream = an_upstream(baseline_s=60.0)
    upstream.answers(200, 0.5)
    upstream.answers(600, 2.0)
    low = upstream.limit.limit
    upstream.answers(30_000, 2.0)
    assert low < 60
    assert upstream.limit.limit == 100


def test_a_start_in_bad_times_is_forgotten_soon() -> None:
    """What was learned while the upstream was slow doesn't hide the next slowness."""
    upstream = an_upstream()
    upstream.answers(100, 8.0)
    upstream.answers(100, 0.5)
    upstream.answers(50, 3.0)
    assert upstream.limit.limit < 100


def test_no_time_at_all_is_no_reason() -> None:
    """Answers that begin within a millisecond set no mark that a few milliseconds break."""
    upstream = an_upstream()
    upstream.answers(100, 0.0)
    upstream.answers(100, 0.015)
    assert upstream.limit.limit == 100


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 100), st.none() | st.floats(0, 100), st.booleans(), st.integers(1, 200)
        ),
        max_size=100,
    ),
    st.integers(1, 50),
    st.integers(1, 100),
)
def test_it_stays_within_its_bounds(
    told: list[tuple[float, float | None, bool, int]], minimum: int, maximum: int
) -> None:
    """Whatever it hears, in whatever order."""
    limit = AdaptiveLimit(AdaptivePolicy(minimum), maximum)
    now = NOW
    for passed_s, first_event_s, failed, in_flight in told:
        now += passed_s
        began = now - (first_event_s or 0.0)
        if failed:
            limit.overloaded(now, began=began)
        else:
            limit.succeeded(now, began=began, first_event_s=first_event_s, in_flight=in_flight)
        assert min(minimum, maximum) <= limit.limit <= maximum


def test_the_repr_tells_what_it_has_learned() -> None:
    """The limit, its bounds, and the two times that are compared."""
    upstream = an_upstream()
    upstream.answers(40, 0.5)
    told = "<AdaptiveLimit 100 of 8 to 100, first events 0.500 s, usually 0.500 s>"
    assert repr(upstream.limit) == told
