"""Accounts by the calendar: one window counts, the one that the clock is in.

The window before the current one is kept: a clock that was set forward by mistake
and is set right finds there what was spent. One that is set back to before what was forgotten
is taken to be in the oldest window known.
"""

from typing import Final

from sidecard.policy.account import Account, Slot
from sidecard.policy.budget_window import Calendar

_KEPT: Final = 2


class CalendarAccount(Account):
    """One window counts: the one that the clock is in."""

    __slots__ = ("_floor", "_now", "_window")

    def __init__(self, values: tuple[str, ...], window: Calendar) -> None:
        super().__init__(values)
        self._window = window
        self._now: Slot | None = None
        self._floor = 0

    def turn(self, wall: float) -> Slot:
        """Go to the window of that moment, or to the oldest known where that is forgotten."""
        now = self._now
        if now is not None and now.span.start <= wall < now.span.end:
            return now
        span = self._window.span(wall)
        found = self._slot(span.start)
        if found is None:
            found = next(iter(self._slots.values()))
        if found is not now:
            self._now = found
            self.spent, self.reserved = found.spent, found.reserved
        return found

    def _slot(self, start: int) -> Slot | None:
        slots = self._slots
        if start not in slots:
            if start < self._floor:
                return None
            self._insert(Slot(self._window.span(start)))
            while len(slots) > _KEPT:
                self._floor = slots.popitem(last=False)[0] + 1
        return slots.get(start)

    def load(self, start: int, spent: int) -> None:
        """Add what was spent in a window; what was before the oldest of them is forgotten."""
        super().load(start, spent)
        self._floor = max(self._floor, next(iter(self._slots)))

    def counts(self, slot: Slot) -> bool:
        """Whether it is the current window."""
        return slot is self._now

    def room_at(self, need: int, limit: int) -> int | None:
        """Return when the window ends."""
        return None if need > limit or self._now is None else self._now.span.end

    def until(self, slot: Slot) -> int:
        """Return a window's length after its end: the clock may step back."""
        return 2 * slot.span.end - slot.span.start

    def untell(self) -> None:
        """Forget it in every window."""
        for slot in self._slots.values():
            slot.told = 0

    def tell(self, percent: int) -> int:
        """Take note in the window itself."""
        slot = self._now
        if slot is None:
            return percent
        told, slot.told = slot.told, max(slot.told, percent)
        return told
