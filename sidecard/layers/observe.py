"""Observe: takes note of every call, whatever becomes of it.

Outermost, so that what it sees is what the caller got.
"""

import asyncio
from dataclasses import replace

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.errors import DeadlineExceeded
from sidecard.core.handler import Handler
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import CallSink
from sidecard.core.reply import Reply


class Observe:
    """State: how many calls are open. Safe to share.

    With `content` the sink finds what the caller was shown in the call's trail.
    """

    def __init__(
        self, next_: Handler, *, sink: CallSink, clock: Clock, content: bool = False
    ) -> None:
        self._next = next_
        self._sink = sink
        self._clock = clock
        self._content = content
        self.open = 0

    async def __call__(self, call: Call) -> Reply:
        """Pass the call on; the sink hears of its end exactly once."""
        began = self._clock.now()
        self.open += 1
        try:
            reply = await self._next(call)
        except BaseException as error:
            self._settle(call, None, self._outcome(call, error), began)
            raise
        if self._content:
            call.trail.answer = reply.at_hand or reply.record()
        reply.on_end(lambda outcome: self._settle(call, reply, _told(call, outcome), began))
        return reply

    def _settle(self, call: Call, reply: Reply | None, outcome: Outcome, began: float) -> None:
        self.open -= 1
        self._sink(call, reply.head if reply else None, outcome, began=began)

    def _outcome(self, call: Call, error: BaseException) -> Outcome:
        """Return the outcome of a call that failed before anybody committed to an answer."""
        now = self._clock.now()
        left = isinstance(error, asyncio.CancelledError)
        ending = Ending.ABANDONED if left else Ending.FAILED
        used = [attempt.usage for attempt in call.trail if attempt.usage is not None]
        return _told(call, Outcome(ending, used[-1] if used else None, error, None, now))

    def __repr__(self) -> str:
        return f"<Observe, {self.open} open>"


def _told(call: Call, outcome: Outcome) -> Outcome:
    """Return the outcome with a cancellation at or after the deadline as what it is."""
    cancelled = isinstance(outcome.error, asyncio.CancelledError)
    if not cancelled or outcome.ended_at < call.deadline:
        return outcome
    passed = DeadlineExceeded("the deadline passed")
    return replace(outcome, ending=Ending.FAILED, error=passed)
