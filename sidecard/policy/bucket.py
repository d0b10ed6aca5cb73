"""Bucket: one limit per minute, as a leaky bucket whose level can be read and corrected.

The leaking is aiolimiter's, whose `acquire` isn't used: it wakes whoever wants least,
so a large request would starve behind small ones, and it refuses what is above the capacity.
Order belongs to `Line`. A subclass, because the library has no public way
to give back, to owe, or to change the rate, all of which metering by estimates needs.
"""

from typing import Final

from aiolimiter import AsyncLimiter

_DUST_S: Final = 1e-6
"""A shorter wait is none: what is left of it is rounding, and a timer for it would never end."""
_MOST_MINUTES: Final = 10.0


class Bucket(AsyncLimiter):
    """Holds `per_minute` at most, and leaks as much in a minute. Every moment is handed in.

    That is how the upstream meters: what was used comes back evenly, up to the whole limit
    (https://platform.claude.com/docs/en/api/rate-limits, "token bucket").
    What is above the capacity waits for an empty bucket and then leaves it in debt:
    its level is over `per_minute` until that has leaked.
    """

    def __init__(self, per_minute: float) -> None:
        super().__init__(per_minute, 60.0)

    @property
    def per_minute(self) -> float:
        """The capacity, and what leaks in a minute."""
        return self.max_rate

    def level(self, now: float) -> float:
        """Return what is in the bucket."""
        self._leak(now)
        return self._level

    def wait_s(self, amount: float, now: float, ahead: float = 0.0) -> float:
        """Return the seconds until `amount` may be taken after all of `ahead`, 0 for now."""
        capacity = self.max_rate
        if self._level + ahead + amount <= capacity:
            return 0.0  # What has leaked since it was last looked at only makes more room.
        self._leak(now)
        over = self._level + ahead + min(amount, capacity) - capacity
        if over <= 0.0:
            return 0.0
        wait_s = over / self._rate_per_sec
        return wait_s if wait_s > _DUST_S else 0.0

    def take(self, amount: float, now: float) -> None:
        """Put `amount` in, whether or not there is room."""
        since_s = now - self._last_check
        if since_s > 0.0:
            level = self._level - since_s * self._rate_per_sec
            self._level = level + amount if level > 0.0 else amount
            self._last_check = now
        else:
            self._level += amount
        # Ten minutes pay off any debt, whatever somebody says that was used.
        self._level = min(self._level, _MOST_MINUTES * self.max_rate)

    def give_back(self, amount: float, now: float) -> None:
        """Take `amount` out again, as much of it as hasn't leaked."""
        if now > self._last_check:
            self._leak(now)
        self._level = max(self._level - amount, 0.0)

    def set_level(self, level: float, now: float) -> None:
        """Have `level` in the bucket, and no less than nothing."""
        self._last_check = max(self._last_check, now)
        self._level = max(level, 0.0)

    def set_rate(self, per_minute: float, now: float) -> None:
        """Change the limit; what is in the bucket stays in it."""
        self._leak(now)
        self.max_rate = per_minute
        self._rate_per_sec = per_minute / self.time_period

    def _leak(self, now: float | None = None) -> None:
        """Leak up to the moment `now`; the library's own calls, which name none, change nothing."""
        if now is None or now <= self._last_check:
            return
        if self._level:
            leaked = (now - self._last_check) * self._rate_per_sec
            self._level = self._level - leaked if self._level > leaked else 0.0
        self._last_check = now

    def __repr__(self) -> str:
        return f"<Bucket {self._level:.0f} of {self.max_rate:.0f} per minute>"
