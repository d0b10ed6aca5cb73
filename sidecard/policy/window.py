"""Sliding windows: how many of the latest calls failed, and how many were slow.

By time or by count, as in resilience4j. Both keep their sums as they go,
so that a record costs the same however many calls the window holds.
A time window is kept in slices that expire whole; to keep each call's moment
would take memory that grows with the load.
"""

import math
from typing import Final, Protocol

_SLICES: Final = 10


class Window(Protocol):
    """What both windows promise. `now` is in monotonic seconds; no step back disturbs them.

    `calls`, `failed` and `slow` are right as of the last `record` or `forget`;
    a call that was both failed and slow is in each of these two, and one call.
    """

    calls: int
    failed: int
    slow: int

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call, and forget those that have left the window."""

    def forget(self, now: float) -> None:
        """Forget the calls that have left the window."""

    def clear(self, now: float) -> None:
        """Forget all calls."""

    def turned(self, now: float) -> bool:
        """Whether a whole window has gone by since the last `clear`."""


class TimeWindow:
    """The calls of the last `window_s` seconds, in 10 slices of which the newest is filling.

    So it reaches back `window_s` at most, and a tenth less just after a slice has gone.
    """

    __slots__ = (
        "_cleared_at",
        "_current",
        "_slice",
        "_slice_s",
        "_slices",
        "calls",
        "failed",
        "slow",
        "window_s",
    )

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._slice_s = window_s / _SLICES
        self._cleared_at = -math.inf
        self._current = 0
        self._empty()

    def _empty(self) -> None:
        self._slices = [[0, 0, 0] for _ in range(_SLICES)]
        self._slice = self._slices[self._current % _SLICES]
        self.calls = self.failed = self.slow = 0

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call in the newest slice."""
        self.forget(now)
        counts = self._slice
        counts[0] += 1
        self.calls += 1
        if failed:
            counts[1] += 1
            self.failed += 1
        if slow:
            counts[2] += 1
            self.slow += 1

    def forget(self, now: float) -> None:
        """Forget the slices that have left the window."""
        number = int(now // self._slice_s)
        if number <= self._current:
            return
        for passed in range(max(self._current, number - _SLICES) + 1, number + 1):
            counts = self._slices[passed % _SLICES]
            self.calls -= counts[0]
            self.failed -= counts[1]
            self.slow -= counts[2]
            counts[:] = (0, 0, 0)
        self._current = number
        self._slice = self._slices[number % _SLICES]

    def clear(self, now: float) -> None:
        """Forget all calls."""
        self.forget(now)
        self._empty()
        self._cleared_at = now

    def turned(self, now: float) -> bool:
        """Whether `window_s` have gone by since the last `clear`."""
        return now - self._cleared_at >= self.window_s

    def __repr__(self) -> str:
        return f"{self.calls} calls in {self.window_s:g} s"


class CountWindow:
    """The last `size` calls, however old."""

    __slots__ = ("_next", "_recorded", "_ring", "calls", "failed", "size", "slow")

    def __init__(self, size: int) -> None:
        self.size = size
        self._empty()

    def _empty(self) -> None:
        self._ring = bytearray(self.size)
        self._next = self._recorded = 0
        self.calls = self.failed = self.slow = 0

    def record(self, _: float, *, failed: bool, slow: bool) -> None:
        """Count a call in the place of the oldest."""
        place = self._next
        if self.calls == self.size:
            oldest = self._ring[place]
            self.failed -= oldest & 1
            self.slow -= oldest >> 1
        else:
            self.calls += 1
        self._ring[place] = failed | slow << 1
        self.failed += failed
        self.slow += slow
        self._recorded += 1
        self._next = place + 1 if place + 1 < self.size else 0

    def forget(self, _: float) -> None:
        """Forget nothing: calls leave by others alone."""

    def clear(self, _: float) -> None:
        """Forget all calls."""
        self._empty()

    def turned(self, _: float) -> bool:
        """Whether more than `size` calls were recorded since the last `clear`."""
        return self._recorded > self.size

    def __repr__(self) -> str:
        return f"{self.calls} calls"
