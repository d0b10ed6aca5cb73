"""Rate limit: sends a target no more than it takes, so that it needn't refuse.

Inside the breaker, which must not take a refusal of ours for a failure of the target;
next to the upstream, so that every attempt is counted, retries and hedges too.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from sidecard.core.call import Call, Priority
from sidecard.core.clock import Clock, Timer
from sidecard.core.errors import (
    DeadlineExceeded,
    Overloaded,
    RateLimited,
    UpstreamError,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.handler import Handler
from sidecard.core.note import GateClosed, Shed, TurnCame
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import NoteSink
from sidecard.core.reply import Reply
from sidecard.policy.gate import Gate
from sidecard.policy.line import Answer, Line, Ticket
from sidecard.policy.need import Need, Reservation


class RateLimit:
    """State: a line for each target at whose gate anybody waits. Safe to share.

    `gate_of` gives the gate of a target by its name, always the same one.
    `before` is whose lines this one goes on with, as both send calls through the same gates.
    """

    def __init__(
        self,
        next_: Handler,
        *,
        gate_of: Callable[[str], Gate],
        notes: NoteSink,
        clock: Clock,
        before: "RateLimit | None" = None,
    ) -> None:
        self._next = next_
        self._gate_of = gate_of
        self._notes = notes
        self._clock = clock
        self._lines: dict[str, _Waiting] = (
            before._lines if before else {}  # noqa: SLF001  # of its own class
        )
        for target in list(self._lines):
            self._advance(target)  # The gate may let through more now.

    async def __call__(self, call: Call) -> Reply:
        """Pass the call on when its turn comes.

        Raises `RateLimited` at once when that is later than it may wait or its deadline affords.
        """
        target = call.target.name
        waiting = self._lines.get(target)
        gate = self._gate_of(target) if waiting is None else waiting.line.gate
        reservation = None if gate.unlimited else await self._turn(call, gate)
        try:
            reply = await self._next(call)
        except BaseException as error:
            self._failed(target, gate, reservation, error)
            raise
        limits = reply.head.rate_limits
        if reservation is not None or limits is not None:
            gate.answered(reservation, limits, self._clock.now())
            self._advance(target)
        if reservation is not None:
            reply.on_end(partial(self._settle, target, gate, reservation))
        return reply

    async def _turn(self, call: Call, gate: Gate) -> Reservation:
        """Return what the call may use, when it may."""
        began = now = self._clock.now()
        need = gate.need(call)
        waiting = self._lines.get(call.target.name)
        urgent = call.priority is Priority.INTERACTIVE
        if waiting is None:
            wait_s = gate.wait_s(need, now)
        else:
            wait_s = waiting.line.wait_s(need, now, tenant=call.tenant, urgent=urgent)
        if waiting is None and not wait_s:
            return gate.take(need, now)
        until = min(now + gate.policy.max_wait_s, call.deadline)
        if now + wait_s > until:
            raise self._refusal(call, gate, need, wait_s)
        turn: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        tell = partial(_tell, turn, gate)
        ticket = Ticket(need, until, tell, tenant=call.tenant, urgent=urgent)
        call.trail.waits = True  # Who joins it meanwhile may have it wait among the urgent.
        try:
            answer = await self._wait(call.target.name, gate, ticket, turn)
        finally:
            call.trail.waits = False
        if isinstance(answer, float):
            raise self._refusal(call, gate, need, answer)
        if (now := self._clock.now()) >= call.deadline:  # Whoever cancels at it is as late.
            gate.unsent(answer, now)
            self._advance(call.target.name)
            raise DeadlineExceeded("the deadline passed while the call waited for its turn")
        self._notes(TurnCame(call.target.name, now - began))
        return answer

    async def _wait(
        self, target: str, gate: Gate, ticket: Ticket, turn: asyncio.Future[Answer]
    ) -> Answer:
        """Stand in the target's line until there is an answer."""
        waiting = self._lines.get(target)
        if waiting is None:
            waiting = self._lines[target] = _Waiting(Line(gate))
        line = waiting.line
        line.join(ticket)
        self._advance(target)
        timer = self._clock.call_at(ticket.until, partial(self._expire, target, line, ticket))
        try:
            return await turn
        except asyncio.CancelledError:
            line.leave(ticket)
            if not turn.cancelled() and isinstance(answer := turn.result(), Reservation):
                gate.unsent(answer, self._clock.now())
            self._advance(target)
            raise
        finally:
            timer.cancel()

    def _advance(self, target: str) -> None:
        """Let through whose turn it is, and come back when the next one's is."""
        waiting = self._lines.get(target)
        if waiting is None:
            return
        now = self._clock.now()
        wait_s = waiting.line.advance(now)
        if wait_s is None:
            waiting.rest()
            del self._lines[target]
        elif waiting.timer is None or now + wait_s < waiting.wakes_at:
            waiting.rest()
            waiting.wakes_at = now + wait_s
            waiting.timer = self._clock.call_at(now + wait_s, partial(self._wake, target, waiting))

    def _wake(self, target: str, waiting: "_Waiting") -> None:
        waiting.timer = None
        self._advance(target)

    def _expire(self, target: str, line: Line, ticket: Ticket) -> None:
        line.expire(ticket, self._clock.now())
        self._advance(target)

    def _failed(
        self, target: str, gate: Gate, reservation: Reservation | None, error: BaseException
    ) -> None:
        """Settle an attempt that showed nothing, and close the gate where the upstream says so."""
        now = self._clock.now()
        if isinstance(error, UpstreamError):
            if error.status is None or isinstance(error, UpstreamThrottled):
                gate.heard(reservation, error.rate_limits, now)
            else:
                gate.answered(reservation, error.rate_limits, now)
        if reservation is not None:
            if isinstance(error, UpstreamUnavailable):
                gate.failed(reservation, error.usage, now)
            elif isinstance(error, UpstreamError):
                gate.refused(reservation, now)
            elif isinstance(error, Overloaded):
                gate.unsent(reservation, now)
            else:
                # Cancelled, most often: the answer may have been under way.
                gate.ended(reservation, getattr(error, "usage", None), now, whole=False)
        if isinstance(error, UpstreamThrottled) and error.retry_after_s is not None:
            self._close(target, gate, error.retry_after_s, now)
        self._advance(target)

    def _close(self, target: str, gate: Gate, for_s: float, now: float) -> None:
        if gate.close(for_s, now):
            self._notes(GateClosed(target, min(for_s, gate.policy.longest_closed_s)))
        if (waiting := self._lines.get(target)) is not None:
            waiting.line.shed(now)

    def _settle(self, target: str, gate: Gate, reservation: Reservation, outcome: Outcome) -> None:
        whole = outcome.ending is Ending.COMPLETED
        gate.ended(reservation, outcome.usage, outcome.ended_at, whole=whole)
        self._advance(target)

    def _refusal(self, call: Call, gate: Gate, need: Need, wait_s: float) -> RateLimited:
        target = call.target.name
        why = gate.limiting(need, self._clock.now())
        self._notes(Shed(call.request_id, call.tenant, call.route.name, "rate_limit", why))
        msg = f"{target} takes this call in {wait_s:.1f} s at the soonest: {why}"
        return RateLimited(msg, retry_after_s=wait_s, target=target)

    def __repr__(self) -> str:
        waiting = {target: len(waiting.line) for target, waiting in self._lines.items()}
        return f"<RateLimit, waiting {waiting or 'none'}>"


def _tell(turn: asyncio.Future[Answer], gate: Gate, answer: Answer) -> None:
    """Give one who waits the answer; who is being cancelled takes nothing any more."""
    if not turn.cancelled():
        turn.set_result(answer)
    elif isinstance(answer, Reservation):
        gate.unsent(answer, answer.at)


class _Waiting:
    """A line, and the timer that looks after its first."""

    __slots__ = ("line", "timer", "wakes_at")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.timer: Timer | None = None
        self.wakes_at = 0.0

    def rest(self) -> None:
        """Forget the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
