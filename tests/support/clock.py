"""A clock that the test turns."""

import heapq
import itertools
from collections.abc import Callable


class _Timer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """A `Clock` that stands still until told; both times move together, `wall` can also step."""

    def __init__(self, now: float = 1_000.0, wall: float = 1_790_000_000.0) -> None:
        self._now = now
        self._wall = wall
        self._count = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def call_at(self, when: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    @property
    def timers(self) -> int:
        """How many timers are set and not cancelled."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    @property
    def next_timer(self) -> float | None:
        """The moment of the next timer, None without one."""
        return min([w for w, _, timer in self._timers if timer.callback is not None], default=None)

    def advance(self, seconds: float) -> None:
        """Turn the clock, calling on the way what is due, each at its moment."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                self._turn(max(when - self._now, 0.0))
                callback, timer.callback = timer.callback, None
                callback()
        self._turn(end - self._now)

    def step_wall(self, seconds: float) -> None:
        self._wall += seconds

    def _turn(self, seconds: float) -> None:
        self._now += seconds
        self._wall += seconds
