"""Who waits for a permit, and whose turn it is.

Interactive waiters go before batch ones. Among tenants, the one that holds the fewest permits
goes first, ties to the one whose permits last changed longest ago: so a thousand waiters of one
tenant delay another's single one by one turn. Within a tenant the earliest deadline goes first,
ties by arrival: that order meets all deadlines if any order does (Jackson's rule, 1955).
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sidecard.policy.ranking import Crowds, Ranking

_AGED_AT_ONCE: Final = 2
"""How many batch waiters one decision promotes: more than arrive with one, yet few enough."""
_STAMP_BITS: Final = 64


class State(Enum):
    """Where a ticket is in its life; displaced and withdrawn ones have left."""

    QUEUED = "queued"
    ADMITTED = "admitted"
    LEFT = "left"


@dataclass(eq=False, slots=True)
class Tenant:
    """A tenant that holds permits or waits for one; forgotten when it does neither.

    `turn` orders tenants: by the permits they hold, then by when that last changed.
    """

    name: str
    turn: int
    in_flight: int = 0
    waiting: int = 0


@dataclass(eq=False, slots=True)
class Ticket:
    """One call's place: in the queue, or with a permit.

    `arrived` and `admitted_at` are moments in monotonic seconds.
    `rank` orders a tenant's: by when it is due, then by arrival, which is a count.
    `urgent` says whether it competes as interactive.
    """

    tenant: Tenant
    rank: tuple[float, int]
    arrived: float
    urgent: bool
    state: State = State.QUEUED
    admitted_at: float = 0.0


class Lane:
    """The waiters of one priority: by tenant, and the tenants by turn and by how many wait."""

    __slots__ = ("crowds", "of", "size", "turns")

    def __init__(self) -> None:
        self.of: dict[Tenant, Ranking[tuple[float, int], Ticket]] = {}
        self.turns: Ranking[int, Tenant] = Ranking()
        self.crowds: Crowds[Tenant] = Crowds()
        self.size = 0

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait here."""
        tenant = ticket.tenant
        queue = self.of.get(tenant)
        if queue is None:
            queue = self.of[tenant] = Ranking()
            self.turns.add(tenant.turn, tenant)
        queue.add(ticket.rank, ticket)
        count = len(queue)
        self.crowds.move(tenant, count - 1, count)
        self.size += 1

    def pop(self) -> Ticket:
        """Take out and return the ticket whose turn it is; there has to be one."""
        tenant = self.turns.first()
        queue = self.of[tenant]
        ticket = queue.pop()
        self._left(tenant, queue)
        return ticket

    def remove(self, ticket: Ticket) -> None:
        """Take out a ticket that waits here."""
        queue = self.of[ticket.tenant]
        queue.drop(ticket.rank)
        self._left(ticket.tenant, queue)

    def _left(self, tenant: Tenant, queue: Ranking[tuple[float, int], Ticket]) -> None:
        count = len(queue)
        self.crowds.move(tenant, count + 1, count)
        if not count:
            del self.of[tenant]
            self.turns.drop(tenant.turn)
        self.size -= 1


class Waiting:
    """Everyone who waits. A batch waiter of `batch_max_wait_s` seconds competes as interactive."""

    __slots__ = ("_by_age", "batch", "batch_max_wait_s", "interactive", "size")

    def __init__(self, batch_max_wait_s: float) -> None:
        self.batch_max_wait_s = batch_max_wait_s
        self._by_age: OrderedDict[Ticket, None] = OrderedDict()
        self.interactive = Lane()
        self.batch = Lane()
        self.size = 0

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        if ticket.urgent:
            self.interactive.add(ticket)
        else:
            self.batch.add(ticket)
            self._by_age[ticket] = None
        ticket.tenant.waiting += 1
        self.size += 1

    def remove(self, ticket: Ticket) -> None:
        """Take out a ticket that waits, wherever its place is."""
        if ticket.urgent:
            self.interactive.remove(ticket)
        else:
            self.batch.remove(ticket)
            del self._by_age[ticket]
        ticket.tenant.waiting -= 1
        self.size -= 1

    def hold(self, tenant: Tenant, change: int, stamp: int) -> None:
        """Note that a tenant got a permit, 1, or gave one back, -1; `stamp` counts such changes."""
        tenant.in_flight += change
        before, tenant.turn = tenant.turn, tenant.in_flight << _STAMP_BITS | stamp
        if tenant.waiting:
            if tenant in self.interactive.of:
                self.interactive.turns.move(before, tenant.turn)
            if tenant in self.batch.of:
                self.batch.turns.move(before, tenant.turn)

    def age(self, now: float) -> None:
        """Let the batch waiters that have waited longest compete as interactive, if it is time."""
        if not self._by_age:
            return
        for _ in range(_AGED_AT_ONCE):
            ticket = next(iter(self._by_age), None)
            if ticket is None or now - ticket.arrived < self.batch_max_wait_s:
                return
            self.remove(ticket)
            ticket.urgent = True
            self.add(ticket)

    def pop(self) -> Ticket:
        """Take out and return the ticket whose turn it is; somebody has to wait."""
        lane = self.interactive if self.interactive.size else self.batch
        ticket = lane.pop()
        if not ticket.urgent:
            del self._by_age[ticket]
        ticket.tenant.waiting -= 1
        self.size -= 1
        return ticket

    def ahead(self, ticket: Ticket) -> int:
        """Return about how many would be served before a newcomer, rather too few.

        Counted are its own tenant's with earlier deadlines, one of each tenant whose turn
        comes before its own, and before a batch call all who are interactive.
        """
        tenant = ticket.tenant
        lane = self.interactive if ticket.urgent else self.batch
        own = lane.of.get(tenant)
        count = lane.turns.before(tenant.turn) + (own.before(ticket.rank) if own else 0)
        return count if ticket.urgent else count + self.interactive.size

    def to_displace(self, ticket: Ticket) -> Ticket | None:
        """Return the waiter that has to make room for a newcomer, None if there is none.

        Batch waiters go before interactive ones, and a batch newcomer only takes their places.
        Of a priority it is the tenant with most of its waiters that gives up the one with the
        latest deadline, if that leaves it more than all of the newcomer's own tenant's,
        the newcomer included, or as many. Else an interactive newcomer's tenant
        may give up a batch call of its own.
        """
        own = ticket.tenant
        for lane in (self.batch, self.interactive) if ticket.urgent else (self.batch,):
            if not lane.size:
                continue
            queue = lane.of[lane.crowds.most()]
            if len(queue) > own.waiting + 1:
                return queue.last()
            if ticket.urgent and lane is self.batch and own in lane.of:
                return lane.of[own].last()
        return None

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<Waiting, {self.interactive.size} interactive, {self.batch.size} batch>"
