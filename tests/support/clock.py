"""A clock that the test turns."""


class ManualClock:
    """A `Clock` that stands still until told; both times move together, `wall` can also step."""

    def __init__(self, now: float = 1_000.0, wall: float = 1_790_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._wall += seconds

    def step_wall(self, seconds: float) -> None:
        self._wall += seconds
