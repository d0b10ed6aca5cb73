"""Admit: lets calls in as permits are free, each held to the end of its reply.

Outside fallback and retries, so that one permit covers all that is done for a call;
inside the caches, whose hits need none. Nothing here sets a timer: how long a call waits
is bounded by its deadline, which cancels it, and by others who give back their permits.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.errors import (
    DeadlineExceeded,
    Overloaded,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.handler import Handler
from sidecard.core.note import Shed
from sidecard.core.outcome import Outcome
from sidecard.core.ports import NoteSink
from sidecard.core.reply import Reply, Source
from sidecard.policy.admission import (
    Admission,
    AdmissionPolicy,
    Displacement,
    Refusal,
    State,
    Ticket,
    Why,
)

_OVERLOADS: Final = (UpstreamThrottled, UpstreamUnavailable)
_TOLD: Final = {
    Why.QUEUE: "too many calls are running and waiting",
    Why.DEADLINE: "the call would have to wait longer than its deadline allows",
    Why.DISPLACED: "the queue is full, and its place went to a call that has more right to it",
}


class Admit:
    """State: the bulkheads, one for each route that has a policy and one for all others.

    Safe to share within one event loop.

    `before` is whose bulkheads this one goes on with, those of the same routes: who holds a
    permit of the one holds it here. A route that had none of its own begins with all its permits.
    """

    def __init__(
        self,
        next_: Handler,
        *,
        policies: Mapping[str, AdmissionPolicy],
        shared: AdmissionPolicy,
        clock: Clock,
        notes: NoteSink,
        before: "Admit | None" = None,
    ) -> None:
        self._next = next_
        self._clock = clock
        self._notes = notes
        self._waiters: dict[Ticket, asyncio.Future[Refusal | None]] = (
            before._waiters if before else {}  # noqa: SLF001  # of its own class
        )
        known = before.bulkheads() if before else {}
        self._shared = self._adopt(known.get(""), shared)
        self._own = {
            route: self._adopt(known.get(route), policy) for route, policy in policies.items()
        }

    def _adopt(self, known: Admission | None, policy: AdmissionPolicy) -> Admission:
        """Return a bulkhead under the policy, an earlier one if there is; wake who gets in."""
        if known is None:
            return Admission(policy)
        for admitted in known.adopt(policy, self._clock.now()):
            self._wake(admitted, None)
        return known

    async def __call__(self, call: Call) -> Reply:
        """Pass the call on when it has a permit.

        Raises `Overloaded` at once, or later if it is displaced; `DeadlineExceeded` when
        the deadline has passed.
        """
        now = self._clock.now()
        if now >= call.deadline:
            raise DeadlineExceeded("the deadline had passed before the call could run")
        admission = self._own.get(call.route.name, self._shared)
        place = admission.enter(call.tenant, call.priority, call.deadline, now)
        if type(place) is Ticket and place.state is State.ADMITTED:
            ticket = place
        else:
            ticket = await self._queue(call, admission, place)
        try:
            reply = await self._next(call)
        except BaseException as error:
            self._leave(admission, ticket, overloaded=isinstance(error, _OVERLOADS))
            raise
        reply.on_end(partial(self._settle, admission, ticket))
        self._hear(admission, ticket, reply)
        return reply

    async def _queue(
        self, call: Call, admission: Admission, place: Ticket | Displacement | Refusal
    ) -> Ticket:
        """Return the call's ticket when it is admitted; raises what `__call__` does."""
        if isinstance(place, Displacement):
            self._wake(place.displaced, place.refusal)
            place = place.ticket
        if isinstance(place, Refusal):
            raise self._shed(call, place)
        waiter = self._waiters[place] = asyncio.get_running_loop().create_future()
        call.trail.waits = True
        try:
            refusal = await waiter
        except BaseException:
            self._give_up(admission, place)
            raise
        finally:
            now = self._clock.now()
            call.trail.waits = False
            call.trail.queued_s += now - place.arrived
        if refusal is not None:
            raise self._shed(call, refusal)
        if now >= call.deadline:
            self._leave(admission, place)
            raise DeadlineExceeded("the deadline passed while the call waited for its turn")
        return place

    def _give_up(self, admission: Admission, ticket: Ticket) -> None:
        """Take back the ticket of a call that was cancelled while it waited.

        It may have been admitted or displaced since then, as its task hadn't run yet.
        """
        if ticket.state is State.ADMITTED:
            self._leave(admission, ticket)
        elif ticket.state is State.QUEUED:
            admission.withdraw(ticket)
            del self._waiters[ticket]

    def _leave(self, admission: Admission, ticket: Ticket, *, overloaded: bool = False) -> None:
        now = self._clock.now()
        for admitted in admission.leave(ticket, now, overloaded=overloaded):
            self._wake(admitted, None)

    def _hear(self, admission: Admission, ticket: Ticket, reply: Reply) -> None:
        """Tell an adaptive limit of an answer; it can only learn from the upstream's."""
        head = reply.head
        if head.source is not Source.UPSTREAM:
            return
        first_event_s = None if head.attempt is None else head.attempt.first_event_s
        for admitted in admission.answered(ticket, self._clock.now(), first_event_s):
            self._wake(admitted, None)

    def _settle(self, admission: Admission, ticket: Ticket, _: Outcome) -> None:
        self._leave(admission, ticket)

    def _wake(self, ticket: Ticket, refusal: Refusal | None) -> None:
        """Let a waiting call go on; one that was cancelled meanwhile finds out by itself."""
        waiter = self._waiters.pop(ticket)
        if not waiter.done():
            waiter.set_result(refusal)

    def _shed(self, call: Call, refusal: Refusal) -> Overloaded:
        why = refusal.why
        self._notes(Shed(call.request_id, call.tenant, call.route.name, "admit", why.value))
        return Overloaded(_TOLD[why], retry_after_s=refusal.retry_after_s)

    def bulkheads(self) -> dict[str, Admission]:
        """Return the bulkheads by their routes' names, the shared one by the empty name."""
        return {"": self._shared, **self._own}

    def __repr__(self) -> str:
        own = "".join([f", {route} {admission!r}" for route, admission in self._own.items()])
        return f"<Admit, shared {self._shared!r}{own}>"
