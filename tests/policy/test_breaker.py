"""The breaker while it is closed, its permits, and what the operator may do and see."""

import json

import pytest

from sidecard.policy.breaker import Breaker, BreakerPolicy, Change, Mode, Permit, State
from tests.support.breaker import Bench

T0 = 1_000.0

# --- Closed --------------------------------------------------------------------------------


def test_it_trips_at_the_failure_rate_and_says_why() -> None:
    """Half of the calls are enough, a little less isn't."""
    bench = Bench()
    bench.succeed(3)
    bench.fail(2)
    assert bench.state == "closed"
    bench.fail()
    assert bench.state == "open"
    why = "failure rate 50 % of 6 calls in 30 s"
    assert bench.changes == [Change(State.CLOSED, State.OPEN, why)]


def test_it_judges_nothing_before_the_minimum() -> None:
    """Three failures of three are too few; the fourth call trips it, though it succeeds."""
    bench = Bench()
    bench.fail(3)
    assert bench.state == "closed"
    bench.succeed()
    assert bench.state == "open"


def test_it_trips_at_the_slow_rate_and_says_why() -> None:
    """Answers that all come, but late, open it too."""
    bench = Bench(window="count")
    bench.succeed(1)
    bench.succeed(3, slow=True)
    assert bench.state == "closed"
    bench.succeed(1, slow=True)
    assert bench.state == "open"
    assert bench.changes[0].why == "slow rate 80 % of 5 calls"


def test_a_call_both_failed_and_slow_is_one_call_in_both_rates() -> None:
    """It isn't counted twice."""
    bench = Bench(minimum_calls=10)
    bench.succeed()
    bench.fail(slow=True)
    status = bench.breaker.status(bench.now)
    assert (status["calls"], status["failure_rate"], status["slow_rate"]) == (2, 0.5, 0.5)


def test_a_time_window_forgets_old_failures() -> None:
    """Failures of more than `window_s` ago don't trip it."""
    bench = Bench(window_s=10.0)
    bench.fail(3)
    bench.now += 10.0
    bench.fail(3)
    assert bench.state == "closed"
    assert bench.calls == 3


def test_a_count_window_forgets_by_calls_alone() -> None:
    """Failures however old trip it, until later calls have pushed them out."""
    bench = Bench(window="count", window_calls=4)
    bench.fail(1)
    bench.succeed(3)
    bench.now += 1e6
    bench.succeed(1)
    bench.fail(1)
    assert bench.state == "closed"
    bench.now += 1e6
    bench.fail(1)
    assert bench.state == "open"


def test_a_count_window_smaller_than_the_minimum_is_judged_when_full() -> None:
    """The minimum can't make it blind."""
    bench = Bench(window="count", window_calls=2, minimum_calls=50)
    bench.fail(2)
    assert bench.state == "open"


# --- Permits -------------------------------------------------------------------------------


def test_permits_are_settled_once() -> None:
    """Whatever is told of a settled permit counts for nothing."""
    bench = Bench()
    permit = bench.permit()
    bench.breaker.succeeded(permit, bench.now)
    for _ in range(10):
        bench.breaker.failed(permit, bench.now)
        bench.breaker.give_back(permit, bench.now)
    assert bench.calls == 1
    assert bench.state == "closed"


def test_permits_given_back_were_never_there() -> None:
    """They count for no rate, and can't be settled afterwards."""
    bench = Bench()
    for _ in range(10):
        permit = bench.permit()
        bench.breaker.give_back(permit, bench.now)
        bench.breaker.failed(permit, bench.now)
    assert bench.calls == 0
    assert bench.state == "closed"


def test_late_failures_of_calls_from_before_the_trip_count_for_nothing() -> None:
    """They reopen neither a half-open breaker nor one that has closed."""
    bench = Bench()
    late = [bench.permit() for _ in range(20)]
    bench.half_open()
    bench.succeed()
    for permit in late[:10]:
        bench.breaker.failed(permit, bench.now)
    assert bench.state == "half_open"
    bench.succeed(2)
    for permit in late[10:]:
        bench.breaker.failed(permit, bench.now)
    assert bench.state == "closed"
    assert bench.calls == 0


def test_late_successes_of_calls_from_before_the_trip_close_nothing() -> None:
    """Only probes tell how the target is now."""
    bench = Bench()
    late = [bench.permit() for _ in range(5)]
    bench.half_open()
    assert bench.permit().probe
    for permit in late:
        bench.breaker.succeeded(permit, bench.now)
    assert bench.state == "half_open"


# --- The operator --------------------------------------------------------------------------


def test_forced_open_refuses_for_ever() -> None:
    """No time is told, none helps, and the late outcomes of earlier calls change nothing."""
    bench = Bench()
    permits = [bench.permit() for _ in range(9)]
    bench.breaker.set_mode("forced_open", bench.now)
    assert bench.refusal() is None
    for permit in permits:
        bench.breaker.succeeded(permit, bench.now)
    bench.now += 1e6
    assert bench.refusal() is None
    assert bench.breaker.status(bench.now)["retry_after_s"] is None


def test_disabled_permits_everything_and_counts() -> None:
    """It never trips, and its rates are there to see."""
    bench = Bench(mode="disabled")
    bench.fail(15)
    bench.succeed(5, slow=True)
    assert bench.state == "disabled"
    status = bench.breaker.status(bench.now)
    assert (status["calls"], status["failure_rate"], status["slow_rate"]) == (20, 0.75, 0.25)


@pytest.mark.parametrize("mode", ["forced_open", "disabled"])
def test_back_to_auto_it_is_closed_and_empty(mode: Mode) -> None:
    """Nothing of the time in another mode is judged."""
    bench = Bench(mode=mode)
    assert bench.breaker.state is State(mode)
    permit = bench.breaker.ask(bench.now)
    bench.breaker.set_mode("auto", bench.now)
    if isinstance(permit, Permit):
        bench.breaker.failed(permit, bench.now)
    assert bench.state == "closed"
    assert bench.calls == 0
    assert bench.changes == [Change(State(mode), State.CLOSED, "an operator set it to auto")]
    bench.trip()


def test_the_mode_it_has_changes_nothing() -> None:
    """Auto leaves an open breaker open, and no change is told."""
    bench = Bench()
    bench.trip()
    bench.breaker.set_mode("auto", bench.now)
    assert bench.refusal() == 10.0
    assert len(bench.changes) == 1


def test_reset_closes_it_with_an_empty_window_and_the_first_open_time() -> None:
    """Whatever it had grown to; attempts that were out count for nothing."""
    bench = Bench()
    bench.half_open()
    bench.fail(2)
    bench.breaker.reset(bench.now)
    assert bench.changes[-1] == Change(State.OPEN, State.CLOSED, "an operator reset it")
    out = [bench.permit() for _ in range(4)]
    bench.breaker.reset(bench.now)
    for permit in out:
        bench.breaker.failed(permit, bench.now)
    assert bench.calls == 0
    bench.trip()
    assert bench.wait_open_time() == 10.0


def test_status_is_json_and_tells_what_the_operator_asks() -> None:
    """How it stands, since when, and when it lets a call through."""
    bench = Bench()
    assert json.loads(json.dumps(bench.breaker.status(bench.now))) == {
        "state": "closed",
        "failure_rate": 0.0,
        "slow_rate": 0.0,
        "calls": 0,
        "opened_for_s": None,
        "retry_after_s": 0.0,
        "trips": 0,
        "refusals": 0,
    }
    bench.trip()
    bench.now += 4.0
    bench.refusal()
    assert json.loads(json.dumps(bench.breaker.status(bench.now))) == {
        "state": "open",
        "failure_rate": 1.0,
        "slow_rate": 0.0,
        "calls": 4,
        "opened_for_s": 4.0,
        "retry_after_s": 6.0,
        "trips": 1,
        "refusals": 1,
    }
    bench.now += 20.0
    assert bench.breaker.status(bench.now)["retry_after_s"] == 0.0


def test_repr_reads_like_a_sentence() -> None:
    """In each state it shows what is decisive there."""
    bench = Bench()
    bench.fail()
    closed = "<Breaker closed, 1 failed and 0 slow of 1 calls in 30 s>"
    assert repr(bench.breaker) == closed
    bench.fail(3)
    assert repr(bench.breaker) == "<Breaker open, opened 0 s ago>"
    bench.now += 12
    bench.succeed(2)
    assert repr(bench.breaker) == "<Breaker half-open, 2/3 probes, opened 12 s ago>"
    bench.breaker.set_mode("disabled", bench.now)
    assert repr(bench.breaker) == "<Breaker disabled, 0 failed and 0 slow of 0 calls in 30 s>"
    assert repr(bench.permit()) == "<Permit of generation 3>"


def test_whoever_hears_of_a_change_may_act_at_once() -> None:
    """The new state stands by then: a breaker that is reset as it opens is closed."""
    breaker = Breaker(
        BreakerPolicy(minimum_calls=1),
        chance=lambda: 0.5,
        on_change=lambda change: breaker.reset(T0) if change.after is State.OPEN else None,
    )
    permit = breaker.ask(T0)
    assert isinstance(permit, Permit)
    breaker.failed(permit, T0)
    assert breaker.state is State.CLOSED
    assert isinstance(breaker.ask(T0), Permit)
