"""The breaker once it has tripped: the open time, the probes, and the way back."""

import pytest

from sidecard.policy.breaker import Change, State
from tests.support.breaker import Bench

# --- Open ----------------------------------------------------------------------------------


def test_open_it_refuses_until_the_open_time_is_over() -> None:
    """Each refusal says how long that is, and they are counted."""
    bench = Bench()
    bench.trip()
    assert bench.refusal() == 10.0
    bench.now += 9.5
    assert bench.refusal() == 0.5
    assert bench.breaker.refusals == 2
    bench.now += 0.5
    assert bench.permit().probe
    assert bench.state == "half_open"
    assert bench.changes[-1] == Change(State.OPEN, State.HALF_OPEN, "the open time is over")


@pytest.mark.parametrize(("chance", "open_s"), [(0.0, 9.0), (0.5, 10.0), (1.0, 11.0)])
def test_chance_moves_the_open_time_by_its_share(chance: float, open_s: float) -> None:
    """Up to a tenth more or less."""
    bench = Bench(chance=chance)
    bench.trip()
    assert bench.wait_open_time() == pytest.approx(open_s)


def test_the_open_time_grows_with_each_round_of_failed_probes_to_its_cap() -> None:
    """10, 20, 40, 60, 60: and only the jitter goes beyond the cap."""
    bench = Bench(chance=1.0)
    bench.trip()
    waits = [bench.wait_open_time()]
    for _ in range(4):
        bench.fail(2)
        waits.append(bench.wait_open_time())
    assert waits == pytest.approx([11, 22, 44, 66, 66])
    assert bench.breaker.trips == 5


def test_the_first_open_time_keeps_the_cap() -> None:
    """An `open_s` over `max_open_s` is cut."""
    bench = Bench(open_s=100.0)
    bench.trip()
    assert bench.wait_open_time() == 60.0


@pytest.mark.parametrize(("closed_s", "open_s"), [(29.9, 20.0), (30.0, 10.0)])
def test_the_growth_is_forgotten_after_a_whole_window_without_a_trip(
    closed_s: float, open_s: float
) -> None:
    """A target that fails again before that is left alone for as long as the last time."""
    bench = Bench()
    bench.half_open()
    bench.fail(2)
    bench.wait_open_time()
    bench.succeed(3)
    bench.now += closed_s
    bench.trip()
    assert bench.wait_open_time() == pytest.approx(open_s)


@pytest.mark.parametrize(("calls", "open_s"), [(3, 20.0), (4, 10.0)])
def test_of_a_count_window_the_whole_is_its_calls(calls: int, open_s: float) -> None:
    """With that many since it closed, not counting the one that trips it."""
    bench = Bench(window="count", window_calls=4, failure_rate=0.25, slow_rate=0.5)
    bench.fail(4)
    bench.wait_open_time()
    bench.fail(1)
    bench.wait_open_time()
    bench.succeed(3)
    assert bench.state == "closed"
    bench.succeed(calls)
    bench.fail(1)
    assert bench.state == "open"
    assert bench.wait_open_time() == open_s


# --- Half-open -----------------------------------------------------------------------------


def test_half_open_no_more_than_the_probes_are_out() -> None:
    """The others hear that they may come again soon."""
    bench = Bench()
    bench.half_open()
    probes = [bench.permit() for _ in range(3)]
    assert bench.refusal() == 1.0
    bench.breaker.succeeded(probes[0], bench.now)
    assert bench.refusal() == 1.0
    assert bench.calls == 1


def test_probes_that_succeed_close_it_with_an_empty_window() -> None:
    """All of them, and nothing of before the trip is judged again."""
    bench = Bench()
    bench.half_open()
    bench.succeed(2)
    assert bench.state == "half_open"
    bench.succeed(1)
    assert bench.state == "closed"
    assert bench.changes[-1].why == "3 probes ended, 0 failed, 0 slow"
    assert bench.calls == 0
    bench.fail(3)
    assert bench.state == "closed"


def test_probes_below_the_rates_close_it() -> None:
    """One of three may fail and two be slow, as the rates are a half and four fifths."""
    bench = Bench()
    bench.half_open()
    bench.fail(1, slow=True)
    bench.succeed(1, slow=True)
    bench.succeed(1)
    assert bench.state == "closed"


def test_it_opens_again_as_soon_as_the_probes_cannot_do_well() -> None:
    """Two of three that failed decide, while the third is still out, which then counts no more."""
    bench = Bench()
    bench.half_open()
    third = bench.permit()
    bench.fail(1)
    assert bench.state == "half_open"
    bench.fail(1)
    assert bench.state == "open"
    assert bench.changes[-1].why == "2 of 3 probes failed"
    bench.breaker.succeeded(third, bench.now)
    assert bench.refusal() == 20.0


def test_slow_probes_open_it_again() -> None:
    """A target that answers late isn't back; the rate itself is enough."""
    bench = Bench(slow_rate=2 / 3)
    bench.half_open()
    bench.succeed(2, slow=True)
    assert bench.state == "open"
    assert bench.changes[-1].why == "2 of 3 probes were slow"


def test_a_probe_given_back_leaves_its_slot() -> None:
    """At once, and once only."""
    bench = Bench(probes=1)
    bench.half_open()
    probe = bench.permit()
    bench.breaker.give_back(probe, bench.now)
    bench.permit()
    bench.breaker.give_back(probe, bench.now)
    assert bench.refusal() == 1.0


def test_a_probe_that_never_ends_cannot_lock_it() -> None:
    """After the open time its slot is another's; refusals tell that moment as it comes near."""
    bench = Bench(probes=1)
    bench.half_open()
    hung = bench.permit()
    bench.now += 9.75
    assert bench.refusal() == 0.25
    bench.now += 0.25
    bench.succeed()
    assert bench.state == "closed"
    bench.breaker.failed(hung, bench.now)
    assert bench.calls == 0


def test_a_probe_that_ends_after_its_slot_was_given_away_still_counts() -> None:
    """So a target whose first event takes longer than the open time can close it."""
    bench = Bench(probes=2)
    bench.half_open()
    late = [bench.permit(), bench.permit()]
    bench.now += 15.0
    bench.permit()
    for probe in late:
        bench.breaker.succeeded(probe, bench.now)
    assert bench.state == "closed"


def test_slots_are_given_away_after_the_grown_open_time() -> None:
    """Not after the first one."""
    bench = Bench(probes=1)
    bench.half_open()
    bench.fail()
    bench.wait_open_time()
    bench.permit()
    bench.now += 19.5
    assert bench.refusal() == 0.5
    bench.now += 0.5
    assert bench.permit().probe
