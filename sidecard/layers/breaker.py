"""Breaker: asks a target only while its breaker permits, and tells it what became of the attempt.

Inside retries, so that each attempt is seen and an open breaker ends them;
outside the rate limit, whose refusals are no failures of the target.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Final

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.errors import (
    BreakerOpen,
    UpstreamInterrupted,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.handler import Handler
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Reply
from sidecard.policy.breaker import Breaker, Permit, Refusal
from sidecard.policy.hedge import LOST

_TIMEOUT: Final = 408
_OVERDUE: Final = 2.0
"""How many times its usual worst a first event may take before a caller's leaving is a failure."""


class Break:
    """State: the breakers, one for each target. Safe to share.

    `usual_s` gives the 95th percentile of a target's first-event times, None until it is known.
    """

    def __init__(
        self,
        next_: Handler,
        *,
        breaker_of: Callable[[str], Breaker],
        usual_s: Callable[[str], float | None],
        clock: Clock,
    ) -> None:
        self._next = next_
        self._breaker_of = breaker_of
        self._usual_s = usual_s
        self._clock = clock

    async def __call__(self, call: Call) -> Reply:
        """Pass the call on with a permit; raises `BreakerOpen` at once when there is none."""
        target = call.target.name
        breaker = self._breaker_of(target)
        tried = len(call.trail)
        permit = breaker.ask(self._clock.now())
        if isinstance(permit, Refusal):
            msg = f"the breaker of {target} is {breaker.state.value.replace('_', '-')}"
            raise BreakerOpen(msg, retry_after_s=permit.retry_after_s, target=target)
        try:
            reply = await self._next(call)
        except BaseException as error:
            self._failed(call, breaker, permit, error, tried)
            raise
        attempt = reply.head.attempt
        first_event_s = None if attempt is None else attempt.first_event_s
        slow = first_event_s is not None and first_event_s > breaker.policy.slow_s
        if permit.probe:
            # Content has come, which is what a probe is to find out; streams may last minutes.
            breaker.succeeded(permit, self._clock.now(), slow=slow)
        reply.on_end(partial(self._settle, breaker, permit, slow))
        return reply

    def _failed(
        self, call: Call, breaker: Breaker, permit: Permit, error: BaseException, tried: int
    ) -> None:
        """Settle the permit of an attempt that showed nothing."""
        now = self._clock.now()
        if _counts(error, throttled=breaker.policy.count_throttled) or (
            isinstance(error, asyncio.CancelledError)
            and LOST not in error.args
            and self._overdue(call, breaker, tried, now)
        ):
            breaker.failed(permit, now)
        else:
            breaker.give_back(permit, now)

    def _overdue(self, call: Call, breaker: Breaker, tried: int, now: float) -> bool:
        """Whether a call that was given up had waited for the target for longer than is its way.

        Else callers whose deadlines are shorter than the first-event timeout
        would never open the breaker of a target that doesn't answer at all.
        """
        if any(attempt.first_event_s is not None for attempt in call.trail):
            return False  # It was being answered.
        target = call.target.name
        ours = (a for a in islice(call.trail, tried, None) if a.sent and a.target == target)
        attempt = next(ours, None)
        if attempt is None:
            return False  # It stood in our own line, and the target has heard nothing of it.
        waited_s = now - attempt.began
        usual_s = self._usual_s(call.target.name)
        slow_s = breaker.policy.slow_s
        return waited_s > (slow_s if usual_s is None else min(slow_s, _OVERDUE * usual_s))

    def _settle(self, breaker: Breaker, permit: Permit, slow: bool, outcome: Outcome) -> None:  # noqa: FBT001
        """Settle the permit of an attempt that committed."""
        if outcome.ending is Ending.COMPLETED:
            breaker.succeeded(permit, outcome.ended_at, slow=slow)
        elif outcome.ending is Ending.FAILED and _counts(outcome.error, throttled=True):
            breaker.failed(permit, outcome.ended_at, slow=slow)
        else:
            breaker.give_back(permit, outcome.ended_at)

    def __repr__(self) -> str:
        return "<Break>"


def _counts(error: BaseException | None, *, throttled: bool) -> bool:
    """Whether an error is the target's failure, not the caller's, the operator's or ours."""
    if isinstance(error, UpstreamThrottled):
        return throttled
    if isinstance(error, UpstreamUnavailable):
        status = error.status
        return status is None or status == _TIMEOUT or not 400 <= status < 500  # noqa: PLR2004
    return isinstance(error, UpstreamInterrupted)
