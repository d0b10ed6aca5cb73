"""Meter: one of a target's limits per minute, as configured and as the upstream tells it.

What headers tell was written for one attempt, while others were on their way:
it is corrected by what the upstream can't have counted then.
"""

from sidecard.core.rate_limits import Allowance
from sidecard.policy.bucket import Bucket


class Meter:
    """State: a bucket, if there is a limit; all that was ever taken; where the limit is from.

    `learned`: the upstream's word alone holds, as nothing lower is configured.
    """

    __slots__ = ("_configured", "bucket", "learned", "name", "taken")

    def __init__(self, name: str, configured: int | None) -> None:
        self.name = name
        self._configured = configured
        self.bucket = None if configured is None else Bucket(configured)
        self.learned = False
        self.taken = 0

    def take(self, amount: int, now: float) -> None:
        """Take `amount`, or give it back where it is below 0; nothing where there is no limit."""
        bucket = self.bucket
        if bucket is None:
            return
        self.taken += amount
        if amount >= 0:
            bucket.take(amount, now)
        else:
            bucket.give_back(-amount, now)

    def correct(
        self, told: Allowance, uncounted: int, over_s: float, now: float, written: int = 0
    ) -> bool:
        """Hear what the upstream said; return whether the bucket was changed to fit that.

        `uncounted` was taken in the last `over_s` seconds, after it was said for all that is known;
        `written` is an amount that it surely hasn't counted.
        The lower of two limits holds. Where that is the configured one,
        the upstream's word can only make the bucket fuller, as when others use the same key.
        """
        if told.limit is None:
            return False
        configured = self._configured
        self.learned = configured is None or told.limit <= configured
        limit = told.limit if configured is None else min(told.limit, configured)
        bucket = self.bucket
        if bucket is None:
            bucket = self.bucket = Bucket(limit)
        elif bucket.max_rate != limit:
            bucket.set_rate(limit, now)
        if told.remaining is None:
            return False
        counted = limit - told.remaining
        own = bucket.level(now)
        # What was taken since may have leaked, or not: nobody knows when in that time it was.
        least = counted + max(written, uncounted - over_s * limit / 60.0)
        if own < least:
            bucket.set_level(least, now)
            return True
        if self.learned and own > (most := counted + max(written, uncounted)):
            bucket.set_level(most, now)
            return True
        return False

    def forget(self) -> None:
        """Go back to what is configured."""
        if self.learned:
            self.learned = False
            self.bucket = None if self._configured is None else Bucket(self._configured)

    def configure(self, configured: int | None, now: float) -> None:
        """Go on with another limit, or none; what is in the bucket stays, as far as it fits.

        What doesn't fit is forgiven: a limit that was lowered a lot would else be waited for
        long. A lower limit that the upstream told of holds on.
        """
        before, self._configured = self._configured, configured
        bucket = self.bucket
        if configured == before:
            return
        if bucket is None:
            self.bucket = None if configured is None else Bucket(configured)
        elif configured is None:
            self.bucket = bucket if self.learned else None
        elif not self.learned or bucket.per_minute > configured:
            self.learned = False
            bucket.set_rate(configured, now)
            bucket.set_level(min(bucket.level(now), configured), now)

    def status(self, now: float) -> dict[str, object]:
        """Return what an operator wants to know; nothing where there is no limit."""
        if self.bucket is None:
            return {}
        room = self.bucket.per_minute - self.bucket.level(now)
        told = {"per_minute": int(self.bucket.per_minute), "room": int(room)}
        return {self.name: {**told, "from_headers": self.learned}}

    def __repr__(self) -> str:
        return f"<Meter {self.name}, {self.bucket!r}>"
