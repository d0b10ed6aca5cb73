"""Line: who waits at one target's gate, in order of arrival. Only the first asks the gate.

So a large request is passed by no small one. Who is more urgent was decided before, on admission.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from sidecard.policy.gate import Gate
from sidecard.policy.need import NOTHING, Need, Reservation

Answer: TypeAlias = Reservation | float
"""What someone who waits is told: the reservation, or the seconds that were more than allowed."""


class Ticket:
    """One place in the line. `until` is the moment by which the turn must come."""

    __slots__ = ("need", "tell", "until")

    def __init__(self, need: Need, until: float, tell: Callable[[Answer], object]) -> None:
        self.need = need
        self.until = until
        self.tell = tell


class Line:
    """State: the tickets and the sum of their needs. Safe within one event loop.

    Every ticket is told at most once, and is out of the line by then.
    """

    __slots__ = ("_ahead", "_tickets", "gate")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._tickets: OrderedDict[Ticket, None] = OrderedDict()
        self._ahead = NOTHING

    def wait_s(self, need: Need, now: float) -> float:
        """Return the least seconds until someone who comes now would have their turn."""
        return self.gate.wait_s(need, now, self._ahead)

    def join(self, ticket: Ticket) -> None:
        """Stand at the end."""
        self._tickets[ticket] = None
        self._ahead = self._ahead.with_(ticket.need)

    def leave(self, ticket: Ticket) -> None:
        """Stand there no more; harmless for who doesn't."""
        if ticket in self._tickets:
            del self._tickets[ticket]
            self._ahead = self._ahead.without(ticket.need)

    def advance(self, now: float) -> float | None:
        """Let through whose turn it is; return the seconds until the next, None without one."""
        while self._tickets:
            ticket = next(iter(self._tickets))
            wait_s = self.gate.wait_s(ticket.need, now)
            if wait_s:
                return wait_s
            self.leave(ticket)
            ticket.tell(self.gate.take(ticket.need, now))
        return None

    def shed(self, now: float) -> None:
        """Refuse everybody whose turn can't come in time any more."""
        ahead = NOTHING
        for ticket in list(self._tickets):
            wait_s = self.gate.wait_s(ticket.need, now, ahead)
            if now + wait_s > ticket.until:
                self._refuse(ticket, wait_s)
            else:
                ahead = ahead.with_(ticket.need)

    def expire(self, ticket: Ticket, now: float) -> None:
        """Refuse one whose time is over, unless this is their turn or they are gone."""
        self.advance(now)
        if ticket in self._tickets:
            self._refuse(ticket, self.gate.wait_s(ticket.need, now))

    def _refuse(self, ticket: Ticket, wait_s: float) -> None:
        self.leave(ticket)
        ticket.tell(wait_s)

    def __len__(self) -> int:
        return len(self._tickets)

    def __repr__(self) -> str:
        return f"<Line, {len(self)} waiting at {self.gate!r}>"
