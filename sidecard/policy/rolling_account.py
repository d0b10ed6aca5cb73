"""Rolling accounts: all slices count that have not left the window.

Such an account has a time of its own, which goes on with the wall clock and stands still
while that steps back: what was spent leaves the window late then, and never early.
"""

from sidecard.policy.account import Account, Slot
from sidecard.policy.budget_window import Rolling, sane


class RollingAccount(Account):
    """All slices that have not left the window count."""

    __slots__ = ("_end", "_time", "_told", "_told_at", "_wall", "_window")

    def __init__(self, values: tuple[str, ...], window: Rolling) -> None:
        super().__init__(values)
        self._window = window
        self._time = 0.0
        self._wall = 0.0
        self._end = 0
        self._told = 0
        self._told_at = 0.0

    def turn(self, wall: float) -> Slot:
        """Go on by what the clock did, and drop the slices that have left the window."""
        wall = sane(wall)
        if not self._wall:
            self._time = max(wall, self._time)
        elif wall > self._wall:
            self._time += wall - self._wall
        self._wall = wall
        slots = self._slots
        if self._time >= self._end:
            span = self._window.span(self._time)
            self._end = span.end
            slots.setdefault(span.start, Slot(span))
            oldest = self._time - self._window.per.length_s
            while (first := next(iter(slots.values()))).span.end <= oldest:
                del slots[first.span.start]
                self.spent -= first.spent
                self.reserved -= first.reserved
        return next(reversed(slots.values()))

    def _slot(self, start: int) -> Slot:
        """Return the slice; time is never before it, so that it leaves the window in order."""
        span = self._window.span(start)
        self._time = max(self._time, float(span.start))
        self._end = 0
        return self._slots.get(span.start) or self._insert(Slot(span))

    def counts(self, slot: Slot) -> bool:
        """Whether it has not left the window."""
        return self._slots.get(slot.span.start) is slot

    def room_at(self, need: int, limit: int) -> int | None:
        """Return when enough will have left the window, if nothing more comes in."""
        left = self.used
        for slot in self._slots.values():
            left -= slot.spent + slot.reserved
            if left + need <= limit:
                behind = self._wall - self._time
                return int(slot.span.end + self._window.per.length_s + behind) + 1
        return None

    def until(self, slot: Slot) -> int:
        """Return when it leaves the window: no later, as time is never behind the wall clock."""
        return slot.span.end + self._window.per.length_s

    def untell(self) -> None:
        """Forget it."""
        self._told = 0

    def tell(self, percent: int) -> int:
        """Take note for the length of a window from the last time that there was anything new."""
        if self._time - self._told_at >= self._window.per.length_s:
            self._told = 0
        told = self._told
        if percent > told:
            self._told, self._told_at = percent, self._time
        return told
