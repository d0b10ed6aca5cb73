"""Fallback: over the route's targets in their order, then the last resorts that the call allows.

Inside admission, so that one permit covers all of it; outside retries,
so that a target is given up only when its retries, its breaker or its rate limit say so.
"""

from collections.abc import Sequence
from typing import Final

from sidecard.core.call import Call, LastResort
from sidecard.core.clock import Clock
from sidecard.core.errors import (
    BreakerOpen,
    BudgetExhausted,
    DeadlineExceeded,
    RateLimited,
    SidecardError,
    UpstreamMisconfigured,
)
from sidecard.core.handler import Handler
from sidecard.core.message import Message
from sidecard.core.note import Misconfigured, MovedOn
from sidecard.core.ports import NoteSink, StaleAnswers
from sidecard.core.reply import Head, Reply, Source

_SKIPS: Final = (BreakerOpen, RateLimited, BudgetExhausted)
"""What says that a target wasn't asked at all."""


class Fallback:
    """State: none. Safe to share.

    `stale` is where expired answers are asked for; without one there are none.
    """

    def __init__(
        self, next_: Handler, *, clock: Clock, notes: NoteSink, stale: StaleAnswers | None = None
    ) -> None:
        self._next = next_
        self._clock = clock
        self._notes = notes
        self._stale = stale

    async def __call__(self, call: Call) -> Reply:
        """Return the first target's answer that there is; raises the most telling error."""
        targets = call.route.targets
        failures: list[SidecardError] = []
        for index, target in enumerate(targets):
            try:
                reply = await self._next(call.to(target))
            except SidecardError as error:
                if not _moves_on(error, after=failures):
                    raise
                failures.append(error)
                self._note(call, target.name, error)
                if call.attempts_left < 1:
                    break
                following = targets[index + 1].name if index + 1 < len(targets) else ""
                if following:
                    self._notes(MovedOn(call.request_id, target.name, following, error.reason))
                continue
            if index:
                reply.amend(degraded=True)
            return reply
        return await self._last_resort(call, failures)

    def _note(self, call: Call, target: str, error: SidecardError) -> None:
        if isinstance(error, _SKIPS):
            call.trail.skip(target, self._clock.now(), error.reason)
        elif isinstance(error, UpstreamMisconfigured):
            self._notes(Misconfigured(call.request_id, target, error.message))

    async def _last_resort(self, call: Call, failures: Sequence[SidecardError]) -> Reply:
        """Return what may stand in for an answer, the one that says most first."""
        error = _telling(failures)
        allowed = call.last_resorts
        reply = None
        if LastResort.STALE in allowed and self._stale is not None:
            reply = await self._stale(call)
        text = call.route.static_message
        # A caller who asked for a schema can't read a sentence.
        if reply is None and LastResort.STATIC in allowed and text and call.output_schema is None:
            reply = _static(text, self._clock)
        if reply is None:
            raise error
        self._notes(MovedOn(call.request_id, error.target, reply.head.source.value, error.reason))
        return reply

    def __repr__(self) -> str:
        return f"<Fallback, {'with' if self._stale else 'without'} stale answers>"


def _moves_on(error: SidecardError, *, after: Sequence[SidecardError]) -> bool:
    """Whether the next target may be asked.

    What the first target finds wrong with a request, any would.
    What only a later one does may be its own limit, and is no answer to the caller.
    """
    return error.moves_on or (bool(after) and not isinstance(error, DeadlineExceeded))


def _telling(failures: Sequence[SidecardError]) -> SidecardError:
    """Return the error that helps the caller most, with what the other targets said.

    That is the first that may be gone when tried again, and with the soonest time for that.
    """
    again = [error for error in failures if error.retryable or isinstance(error, _SKIPS)]
    asked = [error for error in again if error.retryable]
    error = next(iter(asked or again or failures))
    waits = [e.retry_after_s for e in again if e.retry_after_s is not None]
    error.retry_after_s = min(waits, default=None)
    others = ", ".join([f"{e.target} {e.reason}" for e in failures if e is not error])
    if others:
        error.message = f"{error.message}; and {others}"
    return error


def _static(text: str, clock: Clock) -> Reply:
    """Return the route's fixed text, marked as what it is."""
    message = Message("", "", ({"type": "text", "text": text},), "end_turn")
    return Reply.whole(Head(Source.STATIC, "", degraded=True), message, clock)
