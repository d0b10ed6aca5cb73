"""The attempts that try a target while its breaker is half-open: their slots, and how they did."""

from collections.abc import Hashable


class Probes:
    """At most `limit` attempts, out or ended; one given back was none.

    One that is out for longer than it was given leaves its slot to another,
    so that an attempt that hangs can't take up a slot for ever; should it end later, it counts.
    """

    __slots__ = ("_free_at", "ended", "failed", "limit", "slow")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.clear()

    def clear(self) -> None:
        """Forget all of them."""
        self._free_at: dict[Hashable, float] = {}
        self.ended = self.failed = self.slow = 0

    def full(self, now: float) -> bool:
        """Whether every slot is taken."""
        free_at = self._free_at
        while free_at and now >= free_at[oldest := next(iter(free_at))]:
            del free_at[oldest]
        return self.ended + len(free_at) >= self.limit

    def free_in_s(self, now: float) -> float:
        """Return the seconds until a slot is free if no attempt ends before."""
        return next(iter(self._free_at.values()), now) - now if self.full(now) else 0.0

    def sent(self, attempt: Hashable, free_at: float) -> None:
        """Take a slot for an attempt, until the moment `free_at` at most."""
        self._free_at[attempt] = free_at

    def give_back(self, attempt: Hashable) -> None:
        """Free the slot of an attempt that tells nothing."""
        self._free_at.pop(attempt, None)

    def record(self, attempt: Hashable, *, failed: bool, slow: bool) -> None:
        """Count an attempt that has ended; its slot stays taken."""
        self._free_at.pop(attempt, None)
        self.ended += 1
        self.failed += failed
        self.slow += slow

    def __repr__(self) -> str:
        return f"{self.ended}/{self.limit} probes"
