"""`Later`: what is told together is told whole, in order, and soon."""

import pytest

from sidecard.telemetry.later import Later
from tests.support.clock import ManualClock


def test_it_is_told_in_order_and_a_little_later() -> None:
    """To each of its sinks, once."""
    clock, told = ManualClock(), list[tuple[str, int]]()
    later = Later(clock)
    both = later.to(lambda n: told.append(("a", n)), lambda n: told.append(("b", n)))
    one = later.to(lambda n: told.append(("c", n)))
    both(1)
    one(2)
    both(3)
    assert told == []
    clock.advance(0.02)
    assert told == [("a", 1), ("b", 1), ("c", 2), ("a", 3), ("b", 3)]
    assert clock.timers == 0
    one(4)
    clock.advance(0.02)
    assert told[-1] == ("c", 4)


def test_whoever_looks_has_it_told_first() -> None:
    """And nothing is told twice."""
    clock, told = ManualClock(), list[int]()
    later = Later(clock)
    tell = later.to(told.append)
    tell(1)
    later.flush()
    assert (told, clock.timers) == ([1], 0)
    clock.advance(1)
    later.flush()
    assert told == [1]


def test_what_waits_is_bounded() -> None:
    """A loop that is held up gathers no more than some."""
    clock, told = ManualClock(), list[int]()
    tell = Later(clock).to(told.append)
    for number in range(1_000):
        tell(number)
        assert number - len(told) < 256
    clock.advance(0.02)
    assert told == list(range(1_000))


def test_a_bug_in_one_is_no_matter_for_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the traceback."""

    def fails(_: int) -> None:
        raise ZeroDivisionError

    told: list[int] = []
    later = Later(ManualClock())
    later.to(fails, told.append)(1)
    later.flush()
    assert told == [1]
    assert [record.message for record in caplog.records] == ["something wasn't noted"]
