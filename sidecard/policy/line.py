"""Line: who waits at one target's gate. Only the one whose turn it is asks the gate.

So a large request is passed by no small one of its tenant, nor by many of others.
Where the upstream's rate is what there is too little of, calls wait here and nowhere else. So it is
fair here as in admission: interactive calls go before batch ones, and of a priority the tenants
take turns, each in order of arrival. Who floods waits behind itself alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeAlias

from sidecard.policy.gate import Gate
from sidecard.policy.need import NOTHING, Need, Reservation

Answer: TypeAlias = Reservation | float
"""What someone who waits is told: the reservation, or the seconds that were more than allowed."""

_LOOKED_AT: Final = 8
"""Tenants that are looked at to say how long a newcomer waits at the least."""


class Ticket:
    """One place in the line. `until` is the moment by which the turn must come."""

    __slots__ = ("need", "tell", "tenant", "until", "urgent")

    def __init__(
        self,
        need: Need,
        until: float,
        tell: Callable[[Answer], object],
        *,
        tenant: str = "",
        urgent: bool = True,
    ) -> None:
        self.need = need
        self.until = until
        self.tell = tell
        self.tenant = tenant
        self.urgent = urgent


class _Queue:
    """A tenant's tickets of one priority, in order of arrival, and the sum of their needs."""

    __slots__ = ("sum", "tickets")

    def __init__(self) -> None:
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()
        self.sum = NOTHING


class _Lane:
    """The tickets of one priority. The tenants are in the order of their turns."""

    __slots__ = ("queues",)

    def __init__(self) -> None:
        self.queues: OrderedDict[str, _Queue] = OrderedDict()

    def add(self, ticket: Ticket) -> None:
        """Let one stand at the end of its tenant's."""
        queue = self.queues.get(ticket.tenant)
        if queue is None:
            queue = self.queues[ticket.tenant] = _Queue()
        queue.tickets[ticket] = None
        queue.sum = queue.sum.with_(ticket.need)

    def remove(self, ticket: Ticket) -> bool:
        """Take one out; return whether it stood here."""
        queue = self.queues.get(ticket.tenant)
        if queue is None or ticket not in queue.tickets:
            return False
        del queue.tickets[ticket]
        queue.sum = queue.sum.without(ticket.need)
        if not queue.tickets:
            del self.queues[ticket.tenant]
        return True

    def first(self) -> Ticket | None:
        """Return whose turn it is."""
        for queue in self.queues.values():
            return next(iter(queue.tickets))
        return None

    def turn(self, tenant: str) -> None:
        """Note that the tenant had its turn."""
        if tenant in self.queues:
            self.queues.move_to_end(tenant)

    def in_turn(self) -> Iterator[Ticket]:
        """Return all of them in the order of their turns, as it is now."""
        waiting = [iter(list(queue.tickets)) for queue in self.queues.values()]
        while waiting:
            left = []
            for tickets in waiting:
                ticket = next(tickets, None)
                if ticket is not None:
                    left.append(tickets)
                    yield ticket
            waiting = left

    def ahead(self, tenant: str) -> Need:
        """Return what is taken before a newcomer's turn, at the least: of some tenants it counts.

        Before it go its own tenant's, and of each other tenant as many as those, or one.
        """
        own = self.queues.get(tenant)
        if own is not None and len(self.queues) == 1:
            return own.sum
        total, count = (NOTHING, 1) if own is None else (own.sum, len(own.tickets))
        for queue in islice(self.queues.values(), _LOOKED_AT):
            if queue is own:
                continue
            if len(queue.tickets) <= count:
                total = total.with_(queue.sum)
            else:
                total = total.with_(next(iter(queue.tickets)).need)
        return total

    def all(self) -> Need:
        """Return what those of some tenants take."""
        total = NOTHING
        for queue in islice(self.queues.values(), _LOOKED_AT):
            total = total.with_(queue.sum)
        return total


class Line:
    """State: the tickets and the sums of their needs. Safe within one event loop.

    Every ticket is told at most once, and is out of the line by then.
    """

    __slots__ = ("_batch", "_size", "_urgent", "gate")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._urgent = _Lane()
        self._batch = _Lane()
        self._size = 0

    def wait_s(self, need: Need, now: float, *, tenant: str = "", urgent: bool = True) -> float:
        """Return the least seconds until someone who comes now would have their turn."""
        ahead = (self._urgent if urgent else self._batch).ahead(tenant)
        if not urgent and self._urgent.queues:
            ahead = ahead.with_(self._urgent.all())
        return self.gate.wait_s(need, now, ahead)

    def join(self, ticket: Ticket) -> None:
        """Stand at the end of one's tenant's."""
        (self._urgent if ticket.urgent else self._batch).add(ticket)
        self._size += 1

    def leave(self, ticket: Ticket) -> None:
        """Stand there no more; harmless for who doesn't."""
        if (self._urgent if ticket.urgent else self._batch).remove(ticket):
            self._size -= 1

    def advance(self, now: float) -> float | None:
        """Let through whose turn it is; return the seconds until the next, None without one."""
        while (ticket := self._urgent.first() or self._batch.first()) is not None:
            wait_s = self.gate.wait_s(ticket.need, now)
            if wait_s:
                return wait_s
            self.leave(ticket)
            (self._urgent if ticket.urgent else self._batch).turn(ticket.tenant)
            ticket.tell(self.gate.take(ticket.need, now))
        return None

    def shed(self, now: float) -> None:
        """Refuse everybody whose turn can't come in time any more."""
        ahead = NOTHING
        for ticket in (*self._urgent.in_turn(), *self._batch.in_turn()):
            wait_s = self.gate.wait_s(ticket.need, now, ahead)
            if now + wait_s > ticket.until:
                self._refuse(ticket, wait_s)
            else:
                ahead = ahead.with_(ticket.need)

    def expire(self, ticket: Ticket, now: float) -> None:
        """Refuse one whose time is over, unless this is their turn or they are gone."""
        self.advance(now)
        if ticket in self:
            self._refuse(ticket, self.gate.wait_s(ticket.need, now))

    def _refuse(self, ticket: Ticket, wait_s: float) -> None:
        self.leave(ticket)
        ticket.tell(wait_s)

    def __contains__(self, ticket: Ticket) -> bool:
        queue = (self._urgent if ticket.urgent else self._batch).queues.get(ticket.tenant)
        return queue is not None and ticket in queue.tickets

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<Line, {len(self)} waiting at {self.gate!r}>"
