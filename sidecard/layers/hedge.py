"""Hedge: makes a second attempt beside one that is late, and takes the first to commit.

Inside retries, which see the pair as one; outside the breaker and the rate limit,
so that either attempt has a permit of its own, and gives it back when it is cancelled.
Whoever gets the answer pays for both, which is why it is off unless a route asks for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import Final

from sidecard.core.call import Call
from sidecard.core.clock import Clock, Timer
from sidecard.core.handler import Handler
from sidecard.core.note import Hedged, HedgeEnded
from sidecard.core.ports import NoteSink
from sidecard.core.reply import Reply
from sidecard.core.trail import Attempt, making
from sidecard.policy.hedge import LOST, HedgePolicy, due, late_s, sign_s
from sidecard.policy.latency import LatencyQuantiles
from sidecard.policy.retry_budget import RetryBudget

_EARLY_S: Final = 0.001
"""Event loops round moments to the millisecond, and may call that much early."""


class Hedge:
    """State: how many calls have two attempts now. Safe to share.

    `policies` are by the route's name, `latency_of` by the route's name and the call's mode,
    as in "default unary": an answer in one piece shows no sign before it is whole.
    """

    def __init__(
        self,
        next_: Handler,
        *,
        policies: Callable[[str], HedgePolicy],
        budget: RetryBudget,
        latency_of: Callable[[str], LatencyQuantiles],
        clock: Clock,
        notes: NoteSink,
    ) -> None:
        self._next = next_
        self._policies = policies
        self._budget = budget
        self._latency_of = latency_of
        self._clock = clock
        self._notes = notes
        self.hedging = 0

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """Return the answer that came first; raises the first attempt's error when none did."""
        policy = self._policies(call.route.name)
        return self._watched(call, policy) if policy.enabled else self._next(call)

    async def _watched(self, call: Call, policy: HedgePolicy) -> Reply:
        times = self._latency_of(f"{call.route.name} {call.mode.value}")
        after_s = late_s(policy, times)
        tried = len(call.trail)
        if after_s is None or call.attempts_left < 2:  # noqa: PLR2004  # this one and another
            reply = await self._next(call)
        else:
            reply = await self._raced(call, after_s, times)
        answered, first = reply.head.attempt, _attempt(call, tried)
        if answered is not None and first is not None:
            # From the first attempt on, so that hedges don't make the usual time look shorter.
            times.record(answered.began - first.began + sign_s(answered), self._clock.now())
        return reply

    async def _raced(self, call: Call, after_s: float, times: LatencyQuantiles) -> Reply:
        race = _Race(self._next, call)
        race.start()
        self._arm(race, self._clock.now() + after_s, after_s, times)
        try:
            try:
                reply = await race.answer
            finally:
                race.timer.cancel()
                self.hedging -= race.hedged
                await race.clear()
        except BaseException:
            if race.committed is not None:
                await race.committed.aclose()
            raise
        if race.hedged:
            self._notes(HedgeEnded(call.target.name, "second" if race.won else "first"))
        return reply

    def _arm(self, race: "_Race", when: float, after_s: float, times: LatencyQuantiles) -> None:
        race.timer = self._clock.call_at(when, partial(self._late, race, after_s, times))

    def _late(self, race: "_Race", after_s: float, times: LatencyQuantiles) -> None:
        """Start the second attempt, if it is due and there is room for it."""
        if race.answer.done():  # In this turn of the loop, so that the timer is still set.
            return
        call, now = race.call, self._clock.now()
        first = _attempt(call, race.tried)
        when = due(first, after_s, now)
        if when is None:
            return
        if when > now + _EARLY_S:
            self._arm(race, when, after_s, times)
            return
        needs_s = times.quantile(0.5) or 0.0
        if now + needs_s < call.deadline and self._budget.withdraw(now):
            race.start()
            self.hedging += 1
            self._notes(Hedged(call.request_id, call.target.name, after_s))

    def __repr__(self) -> str:
        return f"<Hedge, {self.hedging} hedging>"


class _Race:
    """One or two attempts at one answer; what commits too late closes its own reply.

    `answer` is the first reply, or the first attempt's error when none committed.
    It is done, or cancelled, when the race is over.
    """

    __slots__ = (
        "_error",
        "_next",
        "_tasks",
        "_waiting",
        "answer",
        "call",
        "committed",
        "timer",
        "tried",
        "won",
    )

    timer: Timer

    def __init__(self, next_: Handler, call: Call) -> None:
        self.call = call
        self.tried = len(call.trail)
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.committed: Reply | None = None
        self.won = 0
        self._next = next_
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: set[int] = set()
        self._error: BaseException | None = None

    @property
    def hedged(self) -> bool:
        """Whether there was a second attempt."""
        return len(self._tasks) > 1

    def start(self) -> None:
        """Make one more attempt."""
        number = len(self._tasks)
        self._waiting.add(number)
        self._tasks.append(asyncio.ensure_future(self._run(number)))

    async def clear(self) -> None:
        """Return when no attempt is left; a cancellation meanwhile is raised after that."""
        answer = self.answer
        won = answer.done() and not answer.cancelled() and answer.exception() is None
        for number in self._waiting:
            self._tasks[number].cancel(LOST if won else None)
        left: asyncio.CancelledError | None = None
        while pending := [task for task in self._tasks if not task.done()]:
            try:
                await asyncio.wait(pending)
            except asyncio.CancelledError as error:
                left = error
        if left is not None:
            raise left

    async def _run(self, number: int) -> None:
        try:
            with making("hedge") if number else nullcontext():
                reply = await self._next(self.call)
        except BaseException as error:
            self._failed(number, error)
            if not isinstance(error, Exception):
                raise
            return
        self._waiting.discard(number)
        if self.answer.done():
            await reply.aclose()
            return
        self.won, self.committed = number, reply
        self.answer.set_result(reply)

    def _failed(self, number: int, error: BaseException) -> None:
        self._waiting.discard(number)
        if self._error is None or number == 0:
            self._error = error
        if not self._waiting and not self.answer.done():
            self.answer.set_exception(self._error)


def _attempt(call: Call, tried: int) -> Attempt | None:
    """Return the first attempt that was sent after `tried` ones, None before there is one."""
    return next(islice(call.trail, tried, None), None)
