"""Accounts: what one budget counts for one value of its scope, by window.

What was reserved stays in the window that it was reserved in, whenever it is settled.

Clocks step, so an account never goes by the clock alone:
no step back may give a spent window's money again. How, each kind says itself.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator

from sidecard.policy.budget_window import Span


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


class Account(ABC):
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

    @abstractmethod
    def turn(self, wall: float) -> Slot:
        """Go to a moment of the wall clock; return what takes the charges of that moment."""

    @abstractmethod
    def counts(self, slot: Slot) -> bool:
        """Whether a slot is in what counts now."""

    @abstractmethod
    def room_at(self, need: int, limit: int) -> int | None:
        """Return when so much fits in, in seconds since the Unix epoch; None for never."""

    @abstractmethod
    def until(self, slot: Slot) -> int:
        """Return the moment from which on nobody needs to know of a slot."""

    def load(self, start: int, spent: int) -> None:
        """Add what was spent in the slot that began at `start`, before any `turn` that is later."""
        slot = self._slot(start)
        if slot is not None:
            self.settle(slot, 0, spent)

    @abstractmethod
    def tell(self, percent: int) -> int:
        """Take note that so much of the limit is used; return what was told of this window."""

    @abstractmethod
    def untell(self) -> None:
        """Forget how much of the limit was told, as there is another limit."""

    @abstractmethod
    def _slot(self, start: int) -> Slot | None:
        """Return the slot that begins then, None where it is forgotten."""

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

    def give_back(self, start: int, amount: int) -> Slot | None:
        """Take so much of what was spent for unspent; return its slot, None if it is forgotten."""
        slot = self._slots.get(start)
        if slot is not None:
            self.settle(slot, 0, -min(amount, slot.spent))
        return slot

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
