"""The event loop's lag: what is late is told, and nothing is left running."""

import pytest

from sidecard.telemetry.lag import EVERY_S, LoopLag
from tests.support.clock import ManualClock


class Late(ManualClock):
    """A clock whose event loop is late."""

    late_s = 0.0

    def now(self) -> float:
        return super().now() + self.late_s


def test_what_is_late_is_told() -> None:
    """By how much, each time it looks, and no delay adds to the next one's."""
    clock, found = Late(), list[float]()
    lag = LoopLag(clock, found.append)
    lag.start()
    clock.advance(EVERY_S)
    clock.late_s = 2.0
    clock.advance(EVERY_S)
    clock.late_s = 0.0
    clock.advance(EVERY_S + 2.0)
    assert found == pytest.approx([0.0, 2.0, 0.0])
    lag.stop()
    lag.stop()
    clock.advance(10)
    assert (len(found), clock.timers) == (3, 0)
