"""Admission: how many calls run, who waits, and who is refused before it costs anything.

A permit is held to the end of the answer. When all are out, calls wait in the order of `waiting`,
and what can't be served in time is refused at once: a refusal that comes early can still be acted
on, and a queue in which calls wait in vain helps nobody. When the queue is full, whoever has more
waiters than the newcomer gives up one, so a tenant that floods can't lock the others out.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from sidecard.core.call import Priority
from sidecard.policy.concurrency import AdaptiveLimit, AdaptivePolicy
from sidecard.policy.waiting import State, Tenant, Ticket, Waiting

__all__ = ["Admission", "AdmissionPolicy", "Displacement", "Refusal", "State", "Ticket", "Why"]

_KNOWN: Final = 8
"""The permits that have to have come back before a wait is estimated."""
_WEIGHT: Final = 1 / 32
"""The weight of one more time that a permit was held, in their mean."""
_CUT: Final = 4.0
"""How many times the mean such a time counts at most: one forgotten stream isn't a trend."""
_CUT_S: Final = 0.1
"""Seconds below which that doesn't cut: a mean of next to nothing has to be able to grow."""
_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = 60.0
_UNKNOWN_S: Final = 1.0
"""Seconds after which to come again: at least, at most, and while nothing can be estimated."""


class Why(Enum):
    """Why a call is refused: no place, no time, or a call came that has more right to the place."""

    QUEUE = "queue"
    DEADLINE = "deadline"
    DISPLACED = "displaced"


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """How many calls run and wait.

    `in_flight`: permits, each held to the end of the reply. `queue`: waiters at most, 0 for none.
    `batch_max_wait_s`: a batch call that has waited so long competes as interactive.
    `adaptive`: how the limit is learned, with `in_flight` as its upper bound; None: it is fixed.
    """

    in_flight: int = 1024
    queue: int = 1024
    batch_max_wait_s: float = 30.0
    adaptive: AdaptivePolicy | None = None


class Refusal(NamedTuple):
    """A call isn't let in; it may come again after `retry_after_s` seconds."""

    why: Why
    retry_after_s: float


class Displacement(NamedTuple):
    """A call waits in the place of another, which has to be told of its refusal."""

    ticket: Ticket
    displaced: Ticket
    refusal: Refusal


class Admission:
    """The permits and the queue of one bulkhead. Each operation is whole; nothing here waits.

    Whoever holds a ticket that is admitted owes one `leave`, one that is queued may `withdraw`.
    """

    __slots__ = (
        "_adaptive",
        "_count",
        "_departed",
        "_held_s",
        "_tenants",
        "_waiting",
        "in_flight",
        "limit",
        "policy",
        "refused",
    )

    def __init__(self, policy: AdmissionPolicy) -> None:
        self.policy = policy
        self.in_flight = 0
        self.limit = policy.in_flight
        self.refused: Counter[Why] = Counter()
        self._adaptive: AdaptiveLimit | None = None
        if policy.adaptive is not None:
            self._adaptive = AdaptiveLimit(policy.adaptive, policy.in_flight)
            self.limit = self._adaptive.limit
        self._waiting = Waiting(policy.batch_max_wait_s)
        self._tenants: dict[str, Tenant] = {}
        self._count = 0
        self._departed = 0
        self._held_s = 0.0

    def adopt(self, policy: AdmissionPolicy, now: float) -> list[Ticket]:
        """Go on under another policy; return those who are admitted, as there are more permits.

        Nobody loses a permit or a place: where there are fewer, those above come down by and by.
        """
        self.policy = policy
        self._waiting.batch_max_wait_s = policy.batch_max_wait_s
        self.limit = policy.in_flight
        if policy.adaptive is None:
            self._adaptive = None
        else:
            if self._adaptive is None:
                self._adaptive = AdaptiveLimit(policy.adaptive, policy.in_flight)
            self._adaptive.bound(policy.adaptive, policy.in_flight)
            self.limit = self._adaptive.limit
        return self._serve(now)

    def enter(
        self, tenant: str, priority: Priority, deadline: float, now: float
    ) -> Ticket | Displacement | Refusal:
        """Return a ticket, admitted or queued, with whom it displaced; or why there is none."""
        self._count = number = self._count + 1
        known = self._tenants.get(tenant)
        owner = Tenant(tenant, number) if known is None else known
        # Who has waited so long goes before whoever comes later, however near their deadlines.
        due = min(deadline, now + self.policy.batch_max_wait_s)
        ticket = Ticket(owner, (due, number), now, priority is Priority.INTERACTIVE)
        if self.in_flight >= self.limit:
            return self._queue(ticket, deadline, now)
        self._tenants[tenant] = owner
        self._admit(ticket, now)
        return ticket

    def leave(self, ticket: Ticket, now: float, *, overloaded: bool = False) -> list[Ticket]:
        """Take a permit back, once, and return those who are admitted for it, in order.

        `overloaded`: the call failed because the upstream throttled it or was unavailable.
        """
        if ticket.state is not State.ADMITTED:
            msg = "a permit is given back once, by who holds it"
            raise ValueError(msg)
        ticket.state = State.LEFT
        self._hold(ticket.tenant, -1)
        self._learn(now - ticket.admitted_at)
        if overloaded and self._adaptive is not None:
            self._adaptive.overloaded(now, began=ticket.admitted_at)
            self.limit = self._adaptive.limit
        admitted = self._serve(now) if self._waiting.size else []
        self._forget(ticket.tenant)
        return admitted

    def answered(self, ticket: Ticket, now: float, first_event_s: float | None) -> list[Ticket]:
        """Hear that an admitted call is being answered, and return those who are admitted for it.

        `first_event_s` is how long its first event took, None when that isn't known.
        Only an adaptive limit learns from it.
        """
        if self._adaptive is None:
            return []
        self._adaptive.succeeded(
            now, began=ticket.admitted_at, first_event_s=first_event_s, in_flight=self.in_flight
        )
        self.limit = self._adaptive.limit
        return self._serve(now) if self._waiting.size else []

    def withdraw(self, ticket: Ticket) -> None:
        """Take back a ticket that is queued; one that isn't any more stays as it is."""
        if ticket.state is State.QUEUED:
            ticket.state = State.LEFT
            self._waiting.remove(ticket)
            self._forget(ticket.tenant)

    def _queue(
        self, ticket: Ticket, deadline: float, now: float
    ) -> Ticket | Displacement | Refusal:
        """Let the newcomer wait, if that makes sense and there is or can be made room."""
        waiting, places = self._waiting, self.policy.queue
        waiting.age(now)
        if now + self._wait_s(waiting.ahead(ticket)) > deadline:
            return self._refuse(Why.DEADLINE)
        displaced = None
        if waiting.size >= places:
            displaced = waiting.to_displace(ticket) if places else None
            if displaced is None:
                return self._refuse(Why.QUEUE)
            self.withdraw(displaced)
        self._tenants[ticket.tenant.name] = ticket.tenant
        waiting.add(ticket)
        if displaced is None:
            return ticket
        return Displacement(ticket, displaced, self._refuse(Why.DISPLACED))

    def _serve(self, now: float) -> list[Ticket]:
        """Give out the permits that are free, and return who got them."""
        waiting = self._waiting
        admitted: list[Ticket] = []
        if self.in_flight < self.limit:
            waiting.age(now)
        while waiting.size and self.in_flight < self.limit:
            ticket = waiting.pop()
            self._admit(ticket, now)
            admitted.append(ticket)
        return admitted

    def _admit(self, ticket: Ticket, now: float) -> None:
        ticket.state = State.ADMITTED
        ticket.admitted_at = now
        self._hold(ticket.tenant, 1)

    def _hold(self, tenant: Tenant, change: int) -> None:
        """Note that a permit was given out, 1, or came back, -1."""
        self.in_flight += change
        self._count += 1
        self._waiting.hold(tenant, change, self._count)

    def _forget(self, tenant: Tenant) -> None:
        if not tenant.in_flight and not tenant.waiting:
            del self._tenants[tenant.name]

    def _learn(self, held_s: float) -> None:
        """Take the time that a permit was held into their mean."""
        self._departed += 1
        if self._departed <= _KNOWN:
            self._held_s += (held_s - self._held_s) / self._departed
        else:
            cut_s = max(_CUT * self._held_s, _CUT_S)
            self._held_s += (min(held_s, cut_s) - self._held_s) * _WEIGHT

    def _wait_s(self, ahead: int) -> float:
        """Return how long it takes, about and rather too short, until so many have been served.

        A permit comes back every `held_s / in_flight` seconds (Little's law); the next may be
        due right now. Those that a lowered limit keeps from being given out come on top.
        """
        if self._departed < _KNOWN:
            return 0.0
        return (ahead + self.in_flight - self.limit) * self._held_s / self.in_flight

    def _refuse(self, why: Why) -> Refusal:
        """Count a refusal; who is refused may come again when those who wait now are served."""
        self.refused[why] += 1
        if self._departed < _KNOWN:
            return Refusal(why, _UNKNOWN_S)
        wait_s = self._wait_s(len(self._waiting) + 1)
        return Refusal(why, min(max(wait_s, _SHORTEST_S), _LONGEST_S))

    def status(self) -> dict[str, object]:
        """Return what an operator wants to know, as JSON has it; `held_s` in seconds."""
        return {
            "in_flight": self.in_flight,
            "limit": self.limit,
            "interactive": self._waiting.interactive.size,
            "batch": self._waiting.batch.size,
            "tenants": len(self._tenants),
            "held_s": round(self._held_s, 3),
            "refused": {why.value: self.refused[why] for why in Why},
        }

    def __repr__(self) -> str:
        lanes = self._waiting
        return (
            f"<Admission {self.in_flight} of {self.limit} in flight, waiting "
            f"{lanes.interactive.size} interactive and {lanes.batch.size} batch, "
            f"{self.refused.total()} refused>"
        )
