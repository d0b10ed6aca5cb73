"""Retry: makes an attempt again at its target, when its failure may pass and there is time.

Inside fallback, so that a target is left only when trying again is of no use;
outside the breaker, so that each attempt is seen there and an open breaker ends them.
An attempt is one call of the handler behind: a hedged pair counts once here,
twice in the call's own limit of attempts.
"""

from collections.abc import Callable

from sidecard.core.call import Call
from sidecard.core.clock import Clock, sleep_until
from sidecard.core.errors import SidecardError
from sidecard.core.handler import Handler
from sidecard.core.note import RetriesEnded, Retrying
from sidecard.core.ports import NoteSink
from sidecard.core.reply import Reply
from sidecard.policy.backoff import GiveUp, RetryPolicy, Why, verdict
from sidecard.policy.hedge import sign_s
from sidecard.policy.latency import LatencyQuantiles
from sidecard.policy.retry_budget import RetryBudget


class Retry:
    """State: how many calls wait to try again. Safe to share.

    `policies` are by the route's name, `latency_of` by the target's:
    there it records how long attempts took to show the first sign of an answer.
    """

    def __init__(
        self,
        next_: Handler,
        *,
        policies: Callable[[str], RetryPolicy],
        budget: RetryBudget,
        latency_of: Callable[[str], LatencyQuantiles],
        clock: Clock,
        notes: NoteSink,
        chance: Callable[[], float],
    ) -> None:
        self._next = next_
        self._policies = policies
        self._budget = budget
        self._latency_of = latency_of
        self._clock = clock
        self._notes = notes
        self._chance = chance
        self.waiting = 0

    async def __call__(self, call: Call) -> Reply:
        """Return the first answer that there is; raises the last attempt's error as it is."""
        if len(call.trail) == 0:
            self._budget.deposit(self._clock.now())
        failed = 0
        while True:
            try:
                reply = await self._next(call)
            except SidecardError as error:
                failed += 1
                again_at = self._again_at(call, error, failed)
                if again_at is None:
                    raise
            else:
                self._learn(reply)
                return reply
            self.waiting += 1
            try:
                await sleep_until(self._clock, again_at)
            finally:
                self.waiting -= 1

    def _again_at(self, call: Call, error: SidecardError, failed: int) -> float | None:
        """Return when the next attempt starts, None for not at all; either is noted."""
        target = call.target.name
        now = self._clock.now()
        decided = verdict(
            self._policies(call.route.name),
            error,
            failed=failed,
            left=call.attempts_left,
            now=now,
            deadline=call.deadline,
            needs_s=self._latency_of(target).quantile(0.5) or 0.0,
            chance=self._chance,
        )
        if not isinstance(decided, GiveUp) and not self._budget.withdraw(now):
            decided = GiveUp(Why.BUDGET)
        if isinstance(decided, GiveUp):
            if decided.why is not Why.FINAL:
                why = decided.why.value
                self._notes(RetriesEnded(call.request_id, target, error.reason, why))
            return None
        number = len(call.trail)
        self._notes(Retrying(call.request_id, target, number, error.reason, decided.delay_s))
        return now + decided.delay_s

    def _learn(self, reply: Reply) -> None:
        attempt = reply.head.attempt
        if attempt is not None:
            self._latency_of(attempt.target).record(sign_s(attempt), self._clock.now())

    def __repr__(self) -> str:
        return f"<Retry, {self.waiting} waiting, {self._budget!r}>"
