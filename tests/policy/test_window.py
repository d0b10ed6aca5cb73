"""The sliding windows: what they hold, and what they have forgotten."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.policy.window import CountWindow, TimeWindow, Window

OUTCOMES = st.tuples(st.booleans(), st.booleans())


def sums(window: Window) -> tuple[int, int, int]:
    return window.calls, window.failed, window.slow


def test_a_time_window_forgets_by_slices() -> None:
    """What fell into a slice leaves with it, ten slices later, and nothing else does."""
    window = TimeWindow(10.0)
    window.record(100.0, failed=True, slow=False)
    window.record(100.9, failed=False, slow=True)
    window.record(101.0, failed=True, slow=True)
    window.forget(109.9)
    assert sums(window) == (3, 2, 2)
    window.forget(110.0)
    assert sums(window) == (1, 1, 1)
    window.forget(111.0)
    assert sums(window) == (0, 0, 0)


@pytest.mark.parametrize("later", [110.0, 111.0, 119.0, 120.0, 1e9])
def test_a_pause_of_any_length_leaves_nothing_behind(later: float) -> None:
    """After a window without calls the sums are of the next call alone."""
    window = TimeWindow(10.0)
    for moment in range(100, 110):
        window.record(moment, failed=True, slow=True)
    window.forget(later + 9)
    window.record(later + 9, failed=False, slow=False)
    assert sums(window) == (1, 0, 0)


def test_equal_moments_and_steps_back_lose_no_call() -> None:
    """A call at a moment that has passed counts with the newest."""
    window = TimeWindow(10.0)
    for moment in (100.0, 100.0, 99.0, 42.0):
        window.record(moment, failed=True, slow=False)
    assert sums(window) == (4, 4, 0)
    window.forget(110.0)
    assert sums(window) == (0, 0, 0)


@settings(max_examples=150)
@given(
    window_s=st.sampled_from([0.7, 1.0, 30.0, 86_400.0]),
    steps=st.lists(st.tuples(st.floats(0, 0.4), OUTCOMES), min_size=1, max_size=40),
    pause=st.floats(0, 1.2),
)
def test_a_time_window_reaches_back_nine_to_ten_tenths(
    window_s: float, steps: list[tuple[float, tuple[bool, bool]]], pause: float
) -> None:
    """Calls younger than nine tenths are in it, older than the whole are not, none is twice."""
    window = TimeWindow(window_s)
    now = 1_000.0
    made: list[tuple[float, bool, bool]] = []
    for share, (failed, slow) in steps:
        now += share * window_s
        window.record(now, failed=failed, slow=slow)
        made.append((now, failed, slow))
    now += pause * window_s
    window.forget(now)
    rounding = 1e-9 * now
    sure = [call for call in made if now - call[0] < 0.9 * window_s - rounding]
    possible = [call for call in made if now - call[0] <= window_s + rounding]
    held = possible[len(possible) - window.calls :]
    assert len(sure) <= window.calls <= len(possible)
    assert window.failed == sum(failed for _, failed, _ in held)
    assert window.slow == sum(slow for _, _, slow in held)


@given(size=st.integers(1, 7), outcomes=st.lists(OUTCOMES, max_size=40))
def test_a_count_window_holds_the_last_calls(size: int, outcomes: list[tuple[bool, bool]]) -> None:
    """Its sums are those of the last `size` calls, after each call."""
    window = CountWindow(size)
    for number, (failed, slow) in enumerate(outcomes, 1):
        window.record(0.0, failed=failed, slow=slow)
        last = outcomes[max(0, number - size) : number]
        assert sums(window) == (len(last), sum(f for f, _ in last), sum(s for _, s in last))
        assert window.turned(0.0) == (number > size)


@pytest.mark.parametrize("window", [TimeWindow(10.0), CountWindow(3)], ids=["time", "count"])
def test_cleared_windows_start_from_nothing(window: Window) -> None:
    """After `clear` no call comes back, and a whole window has to go by to be turned."""
    for moment in range(100, 105):
        window.record(moment, failed=True, slow=True)
    window.clear(105.0)
    assert sums(window) == (0, 0, 0)
    assert not window.turned(114.9)
    for moment in range(105, 109):
        window.record(moment, failed=False, slow=False)
    window.forget(115.0)
    assert window.turned(115.0)
    assert sums(window) == (3, 0, 0)


def test_windows_tell_their_extent() -> None:
    """As in a log line."""
    count, timed = CountWindow(5), TimeWindow(30.0)
    count.record(1.0, failed=True, slow=False)
    assert repr(count) == "1 calls"
    assert repr(timed) == "0 calls in 30 s"
