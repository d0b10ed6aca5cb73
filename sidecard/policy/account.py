"""Accounts: what one budget counts for one value of its scope, by window.

What was reserved stays in the window that it was reserved in, whenever it is settled.

Clocks step, so an account never goes by the clock alone.
A calendar account keeps the window before the current one: a clock that was set forward by mistake
and is set right finds there what was spent. One that is set back to before what was forgotten
is taken to be in the oldest window known. So no step back gives a spent window's money again.
A rolling account has a time of its own, which goes on with the wall clock and stands still
while that steps back: what was spent leaves the window late then, and never early.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from sidecard.policy.budget_window import Calendar, Rolling, Span, Window, sane

_KEPT: Final = 2


class Slot:
    """What was spent and is reserved in one window, or slice of one."""

    __slots__ = ("reserved", "span", "spent", "told")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.spent = 0
        self.reserved = 0
        self.told = 0

    def __repr__(self) -> str:
        return f"<Slot {self.span.start}, {self.spent:,} spent, {self.reserved:,} reserved>"


class Account:
    """`spent` and `reserved` are what counts now, as of the last `turn`.

    `values` are those of its scope.
    """

    __slots__ = ("_slots", "reserved", "spent", "values")

    def __init__(self, values: tuple[str, ...]) -> None:
        self.values = values
        self.spent = self.reserved = 0
        self._slots: OrderedDict[int, Slot] = OrderedDict()

    @property
    def used(self) -> int:
        """What can't be given to others."""
        return self.spent + self.reserved

    def turn(self, wall: float) -> Slot:
        """Go to a moment of the wall clock; return what takes the charges of that moment."""
        raise NotImplementedError

    def counts(self, slot: Slot) -> bool:
        """Whether a slot is in what counts now."""
        raise NotImplementedError

    def room_at(self, need: int, limit: int) -> int | None:
        """Return when so much fits in, in seconds since the Unix epoch; None for never."""
        raise NotImplementedError

    def until(self, slot: Slot) -> int:
        """Return the moment from which on nobody needs to know of a slot."""
        raise NotImplementedError

    def load(self, start: int, spent: int) -> None:
        """Add what was spent in the slot that began at `start`, before any `turn` that is later."""
        slot = self._slot(start)
        if slot is not None:
            self.settle(slot, 0, spent)

    def tell(self, percent: int) -> int:
        """Take note that so much of the limit is used; return what was told of this window."""
        raise NotImplementedError

    def _slot(self, start: int) -> Slot | None:
        """Return the slot that begins then, None where it is forgotten."""
        raise NotImplementedError

    def _insert(self, slot: Slot) -> Slot:
        """Put a slot in its place among those that are known."""
        slots = self._slots
        slots[slot.span.start] = slot
        for start in sorted(slots)[sorted(slots).index(slot.span.start) + 1 :]:
            slots.move_to_end(start)
        return slot

    def reserve(self, slot: Slot, amount: int) -> None:
        """Set so much aside, in the slot of the last `turn`."""
        slot.reserved += amount
        self.reserved += amount

    def settle(self, slot: Slot, reserved: int, spent: int) -> None:
        """Take what was reserved in a slot for spent, as much as it was: none, where released."""
        slot.reserved -= reserved
        slot.spent += spent
        if self.counts(slot):
            self.reserved -= reserved
            self.spent += spent

    def slots(self) -> Iterator[Slot]:
        """Yield all that is known, the oldest first."""
        yield from self._slots.values()

    def idle(self, wall: float) -> bool:
        """Whether nothing is lost when it is forgotten."""
        slots = self._slots.values()
        return all(not s.reserved and (not s.spent or self.until(s) <= wall) for s in slots)

    def __repr__(self) -> str:
        whose = " ".join(self.values) or "all"
        return f"<Account of {whose}, {self.spent:,} spent, {self.reserved:,} reserved>"


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

    def tell(self, percent: int) -> int:
        """Take note in the window itself."""
        slot = self._now
        if slot is None:
            return percent
        told, slot.told = slot.told, max(slot.told, percent)
        return told


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

    def tell(self, percent: int) -> int:
        """Take note for the length of a window from the last time that there was anything new."""
        if self._time - self._told_at >= self._window.per.length_s:
            self._told = 0
        told = self._told
        if percent > told:
            self._told, self._told_at = percent, self._time
        return told


AnyAccount = CalendarAccount | RollingAccount


def account(values: tuple[str, ...], window: Window) -> AnyAccount:
    """Return an account with nothing in it."""
    if isinstance(window, Calendar):
        return CalendarAccount(values, window)
    return RollingAccount(values, window)
