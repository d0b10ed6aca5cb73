"""`Bucket`: aiolimiter's leaky bucket, whose time is handed in and whose level can be corrected."""

from dataclasses import dataclass, field

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.policy.bucket import Bucket

NOW = 1_000.0


def test_the_library_is_the_one_that_was_built_on() -> None:
    """The private names that `Bucket` relies on are still the library's, with their meaning."""
    library = AsyncLimiter(120, 60)
    assert (library.max_rate, library.time_period) == (120, 60)
    assert (library._rate_per_sec, library._level, library._last_check) == (2.0, 0.0, 0.0)
    assert Bucket._leak is not AsyncLimiter._leak


def test_the_library_asks_for_no_loop() -> None:
    """What the library does itself works without an event loop, on the level as it is."""
    bucket = Bucket(10)
    bucket.take(8, NOW)
    assert bucket.has_capacity(2)
    assert not bucket.has_capacity(3)


def test_capacity_and_rate_are_the_limit_per_minute() -> None:
    """A full bucket has room for half of its limit half a minute later."""
    bucket = Bucket(60)
    bucket.take(60, NOW)
    assert bucket.wait_s(1, NOW) == pytest.approx(1.0)
    assert bucket.wait_s(30, NOW) == pytest.approx(30.0)
    assert bucket.wait_s(30, NOW + 30) == 0.0
    assert bucket.level(NOW + 45) == pytest.approx(15)


def test_those_ahead_come_first() -> None:
    """The wait includes what is taken before."""
    bucket = Bucket(60)
    bucket.take(50, NOW)
    assert bucket.wait_s(10, NOW) == 0.0
    assert bucket.wait_s(10, NOW, ahead=20) == pytest.approx(20.0)


def test_more_than_fits_waits_for_an_empty_bucket_and_goes_into_debt() -> None:
    """An amount above the capacity is never refused; what comes after it waits for all of it."""
    bucket = Bucket(60)
    assert bucket.wait_s(180, NOW) == 0.0
    bucket.take(6, NOW)
    assert bucket.wait_s(180, NOW) == pytest.approx(6.0)
    bucket.take(180, NOW + 6)
    assert bucket.level(NOW + 6) == pytest.approx(180)
    assert bucket.wait_s(1, NOW + 6) == pytest.approx(121.0)


def test_no_more_is_given_back_than_is_in_it() -> None:
    """What has leaked already can't be had twice."""
    bucket = Bucket(60)
    bucket.take(50, NOW)
    bucket.give_back(50, NOW + 30)
    assert bucket.level(NOW + 30) == 0.0
    bucket.take(60, NOW + 30)
    assert bucket.wait_s(1, NOW + 30) == pytest.approx(1.0)


def test_the_level_is_set_but_never_below_nothing() -> None:
    """A correction holds from then on, and an odd one leaves an empty bucket."""
    bucket = Bucket(60)
    bucket.set_level(55, NOW)
    assert bucket.wait_s(10, NOW) == pytest.approx(5.0)
    bucket.set_level(-1_000, NOW)
    assert bucket.level(NOW) == 0.0


def test_a_new_rate_holds_from_now_on() -> None:
    """What leaked before did so at the old rate, and what is in it stays."""
    bucket = Bucket(60)
    bucket.take(60, NOW)
    bucket.set_rate(6, NOW + 30)
    assert bucket.level(NOW + 30) == pytest.approx(30)
    assert bucket.level(NOW + 40) == pytest.approx(29)
    assert bucket.per_minute == 6


def test_time_never_runs_backwards() -> None:
    """A moment that has passed changes nothing."""
    bucket = Bucket(60)
    bucket.take(30, NOW)
    assert bucket.level(NOW - 10) == 30
    assert bucket.level(NOW + 10) == pytest.approx(20)


def test_waiting_as_told_is_enough() -> None:
    """At the end of a wait there is none left, however large clock, rate and amount are."""
    for now in (0.0, 3.7, 1e5 + 0.1, 1e9 + 1 / 3):
        for rate in (1, 7, 50_000, 10**10):
            bucket = Bucket(rate)
            bucket.take(rate, now)
            wait_s = bucket.wait_s(rate / 3, now)
            assert wait_s > 0
            assert bucket.wait_s(rate / 3, now + wait_s) == 0.0, (now, rate)


@dataclass
class Slow:
    """The obvious model: every minute is walked through in steps from one entry to the next."""

    per_minute: float
    entries: list[tuple[float, float]] = field(default_factory=list)

    def level(self, now: float) -> float:
        level, at = 0.0, NOW
        for moment, amount in [*self.entries, (now, 0.0)]:
            level = max(level - (moment - at) * self.per_minute / 60, 0.0)
            level, at = min(max(level + amount, 0.0), 10 * self.per_minute), moment
        return level


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take if it fits", "give back"]),
        st.floats(0, 20),
        st.floats(0, 150),
    ),
    max_size=40,
)


@given(per_minute=st.integers(1, 120), steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_it_is_as_full_as_the_obvious_model(
    per_minute: int, steps: list[tuple[str, float, float]]
) -> None:
    """Whatever is taken and given back, level and waits are those of a walk through the past."""
    bucket, slow, now = Bucket(per_minute), Slow(per_minute), NOW
    for what, later_s, amount in steps:
        now += later_s
        room = per_minute - slow.level(now)
        wait_s = max(min(amount, per_minute) - room, 0.0) * 60 / per_minute
        assert bucket.wait_s(amount, now) == pytest.approx(wait_s, abs=1e-5)
        if what == "give back":
            bucket.give_back(amount, now)
            slow.entries.append((now, -amount))
        elif what == "take" or not bucket.wait_s(amount, now):
            bucket.take(amount, now)
            slow.entries.append((now, amount))
        assert bucket.level(now) == pytest.approx(slow.level(now), abs=1e-6)


@given(
    per_minute=st.integers(1, 120),
    steps=st.lists(st.tuples(st.floats(0, 30), st.floats(0.1, 200)), max_size=40),
)
@settings(max_examples=150, deadline=None)
def test_no_window_of_time_takes_too_much(
    per_minute: int, steps: list[tuple[float, float]]
) -> None:
    """Over any time no more passes than fits at once and leaks, and one amount that is larger."""
    bucket, now, passed = Bucket(per_minute), NOW, list[tuple[float, float]]()
    for later_s, amount in steps:
        now += later_s
        if not bucket.wait_s(amount, now):
            bucket.take(amount, now)
            passed.append((now, amount))
    for first, (begin, _) in enumerate(passed):
        total, largest = 0.0, 0.0
        for end, amount in passed[first:]:
            total, largest = total + amount, max(largest, amount)
            allowed = max(per_minute, largest) + (end - begin) * per_minute / 60
            assert total <= allowed + 1e-3


def test_ten_minutes_pay_off_any_debt() -> None:
    """Whatever somebody says that was used, the target isn't shut for longer."""
    bucket = Bucket(60)
    bucket.take(1e13, NOW)
    assert bucket.wait_s(60, NOW) == pytest.approx(600)
