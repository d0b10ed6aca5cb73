"""A shortcut to the exact cache: a hit, without what a call takes that may have to wait.

A hit needs no task, no timeout and no reply that is read: measured, those are two thirds of what
it costs. What is told and given is what `Observe` over `ExactCache` would; a miss goes there.
"""

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.event import NO_USAGE
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import CallSink, Hit
from sidecard.layers.answers import Answers


class Shortcut:
    """State: none but the answers. Safe to share."""

    def __init__(self, answers: Answers, *, sink: CallSink, clock: Clock) -> None:
        self._answers = answers
        self._sink = sink
        self._clock = clock

    def key(self, call: Call) -> bytes:
        """Return what the call's answer is kept under, which needn't be worked out twice."""
        return self._answers.key(call)

    def __call__(self, call: Call, key: bytes, began: float) -> Hit | None:
        """Return a hit, which the sink has heard of; None where the call has to be made."""
        found = self._answers.fresh(call, key)
        if found is None:
            return None
        call.trail.answer = found.answer.message
        now = self._clock.now()
        head = self._answers.head(found)
        stop_reason = found.answer.message.stop_reason
        outcome = Outcome(Ending.COMPLETED, NO_USAGE, None, now, now, stop_reason)
        self._sink(call, head, outcome, began=began)
        return Hit(found.answer.message, head, outcome)

    def __repr__(self) -> str:
        return f"<Shortcut to {self._answers!r}>"
