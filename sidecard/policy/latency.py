"""How long first events take: quantiles of the last minutes, in little and bounded memory.

Counts in buckets of equal ratio, four to the doubling, so that the error is a share of the value
and the same at a millisecond as at a minute.
Two halves take turns: when the younger is full of time, the older is dropped.
A decay would forget more smoothly, and touch every bucket for it.
"""

from bisect import bisect_left
from itertools import accumulate
from math import ceil, exp2, log2
from typing import Final

_PER_DOUBLING: Final = 4
_SHORTEST: Final = -10  # 2 ** -10 s: a millisecond
_LONGEST: Final = 10  # 2 ** 10 s: 17 minutes
_BUCKETS: Final = (_LONGEST - _SHORTEST) * _PER_DOUBLING

LEAST_S: Final = 2.0**_SHORTEST
MOST_S: Final = 2.0**_LONGEST
ERROR: Final = 2.0 ** (0.5 / _PER_DOUBLING) - 1
"""How far a quantile may be off, as a share of it, between a millisecond and 17 minutes."""
ENOUGH: Final = 20
"""Fewer samples than these say nothing about their tail."""


class LatencyQuantiles:
    """What was recorded in the last `half_s` to twice `half_s` seconds. Safe to share in one loop.

    After a pause it still knows what was last; the first record after it forgets that.
    """

    __slots__ = ("_all", "_count", "_turned", "_young", "_young_count", "half_s")

    def __init__(self, half_s: float = 120.0) -> None:
        self.half_s = half_s
        self._all = [0] * _BUCKETS
        self._young = [0] * _BUCKETS
        self._count = 0
        self._young_count = 0
        self._turned = float("-inf")

    def record(self, seconds: float, now: float) -> None:
        """Add one time; one out of bounds counts as the bound."""
        if now - self._turned >= self.half_s:
            self._turn(now)
        place = 0
        if seconds > LEAST_S:
            place = min(int((log2(seconds) - _SHORTEST) * _PER_DOUBLING), _BUCKETS - 1)
        self._all[place] += 1
        self._young[place] += 1
        self._count += 1
        self._young_count += 1

    def quantile(self, q: float) -> float | None:
        """Return the least time in seconds that the share `q` of all didn't exceed.

        It is within the share `ERROR` of that; None with fewer than `ENOUGH` samples.
        """
        if self._count < ENOUGH:
            return None
        place = bisect_left(list(accumulate(self._all)), max(1, ceil(q * self._count)))
        return exp2(_SHORTEST + (place + 0.5) / _PER_DOUBLING)

    def _turn(self, now: float) -> None:
        if now - self._turned >= 2 * self.half_s:
            self._young = [0] * _BUCKETS
            self._young_count = 0
            self._turned = now
        else:
            self._turned += self.half_s
        self._all, self._count = self._young, self._young_count
        self._young, self._young_count = [0] * _BUCKETS, 0

    def __repr__(self) -> str:
        median_s, most_s = self.quantile(0.5), self.quantile(0.95)
        if median_s is None or most_s is None:
            return f"<LatencyQuantiles, {self._count} samples, too few>"
        return (
            f"<LatencyQuantiles, {self._count} samples, p50 {median_s:.3g} s, p95 {most_s:.3g} s>"
        )
