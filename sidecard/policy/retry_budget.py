"""The retry budget: how much load retries and hedges may add, over all calls of the daemon.

Attempts per call bound what one call costs, but not what an outage does:
then every call fails, and three attempts each are three times the load on what is down already.
So calls deposit, and whatever is sent beyond their first attempts withdraws a share of that.
The floor lets a daemon with few calls retry at all.

Both are counted in one sliding window, of slices that expire together.
So over any time, and whatever the load does, the withdrawals are at most
the ratio of the calls since one window before, or the floor of each window in it.
"""

from typing import Final

_SLICES: Final = 10


class RetryBudget:
    """A window of calls and of what was sent beyond them. Shared by all tasks of one event loop.

    In any `window_s` seconds it allows `ratio` for each call, or `floor_per_s` a second if more.
    """

    def __init__(
        self, ratio: float = 0.2, floor_per_s: float = 1.0, window_s: float = 10.0
    ) -> None:
        self.ratio = ratio
        self.window_s = window_s
        self._floor = floor_per_s * window_s
        self._slice_s = window_s / _SLICES
        self._deposited = [0] * _SLICES
        self._withdrawn = [0] * _SLICES
        self._deposits = 0
        self._withdrawals = 0
        self._current = 0

    def adopt(self, ratio: float, floor_per_s: float) -> None:
        """Allow as much from now on; what the window has counted stays."""
        self.ratio = ratio
        self._floor = floor_per_s * self.window_s

    def deposit(self, now: float) -> None:
        """Count a call; one that goes on to a second target is still one call."""
        self._deposited[self._turn(now)] += 1
        self._deposits += 1

    def withdraw(self, now: float) -> bool:
        """Take what one more attempt costs; False, and nothing taken, when there isn't that."""
        index = self._turn(now)
        if self._withdrawals + 1 > self._allowance():
            return False
        self._withdrawn[index] += 1
        self._withdrawals += 1
        return True

    def status(self, now: float) -> dict[str, float]:
        """Return what the window holds: calls, what was added to them, and what may still be."""
        self._turn(now)
        left = int(self._allowance() - self._withdrawals)
        return {"calls": self._deposits, "added": self._withdrawals, "left": max(0, left)}

    def _allowance(self) -> float:
        return max(self.ratio * self._deposits, self._floor)

    def _turn(self, now: float) -> int:
        """Forget the slices that have left the window, and return the place of this one."""
        number = int(now // self._slice_s)
        if number > self._current:
            for passed in range(max(self._current, number - _SLICES) + 1, number + 1):
                place = passed % _SLICES
                self._deposits -= self._deposited[place]
                self._withdrawals -= self._withdrawn[place]
                self._deposited[place] = self._withdrawn[place] = 0
            self._current = number
        return self._current % _SLICES

    def __repr__(self) -> str:
        added = f"{self._withdrawals} of {int(self._allowance())} added"
        return f"<RetryBudget, {added} to {self._deposits} calls in {self.window_s:g} s>"
