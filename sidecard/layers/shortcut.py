"""A shortcut to the exact cache: a hit, without what a call takes that may have to wait.

A hit needs no task, no timeout and no reply that is read: measured, those are two thirds of what
it costs. What is told and given is what `Observe` over `ExactCache` would; a miss goes there.
Of what is left, most is the same each time that a question comes again, and is done once.
"""

from collections.abc import Callable

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.event import NO_USAGE
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import Again, Alike, CallSink, Hit, HitSink
from sidecard.layers.answers import Answers


class Shortcut:
    """State: none but the answers. Safe to share.

    `alike` gives the sink of hits that are alike but for their id, their age and their time.
    """

    def __init__(self, answers: Answers, *, sink: CallSink, alike: Alike, clock: Clock) -> None:
        self._answers = answers
        self._sink = sink
        self._alike = alike
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
        tell = self._alike(call, head, outcome)
        again = None if tell is None else self._again(self._answers.again(call, key, found), tell)
        return Hit(found.answer.message, head, outcome, again)

    def _again(self, look: Callable[[float], float | None], tell: HitSink) -> Again:
        wall_now, now = self._clock.wall, self._clock.now

        def again(request_id: str, began: float) -> tuple[float, float] | None:
            wall = wall_now()
            age_s = look(wall)
            if age_s is None:
                return None
            ended = now()
            tell(request_id, age_s, began, ended, wall)
            return age_s, ended

        return again

    def __repr__(self) -> str:
        return f"<Shortcut to {self._answers!r}>"
