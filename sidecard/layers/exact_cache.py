"""Exact cache: who asks what was answered before gets that answer, at once.

Outside everything that costs: a hit takes no permit and no budget, and needs no target to be well.
An answer is kept when it is whole; a stream's, when the last of it was read.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final

from sidecard.core.call import CacheMode, Call, Mode, Priority
from sidecard.core.clock import Clock
from sidecard.core.errors import NotCached
from sidecard.core.event import Batch, Continued, Finished, Restarted
from sidecard.core.fold import fold
from sidecard.core.handler import Handler
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Reply, Source
from sidecard.core.trail import Trail
from sidecard.layers.answers import Answers
from sidecard.policy.keeping import Standing

_REFRESHING: Final = 64
"""Answers that are asked for anew at one moment while old ones are given: the rest stay old."""


class ExactCache:
    """State: the answers, and which are being asked for anew. Safe to share.

    `refresh` is what asks for those: in the background, where nobody waits for it.
    `before` is whose askings are known here, and closed with this one's.
    """

    def __init__(
        self,
        next_: Handler,
        *,
        answers: Answers,
        clock: Clock,
        refresh: Handler | None = None,
        before: "ExactCache | None" = None,
    ) -> None:
        self._next = next_
        self._answers = answers
        self._clock = clock
        self._refresh = refresh or next_
        self._refreshing: dict[object, asyncio.Task[None]] = (
            before._refreshing if before else {}  # noqa: SLF001  # of its own class
        )

    async def __call__(self, call: Call) -> Reply:
        """Return a fresh answer, or the next handler's, which is kept.

        Raises `NotCached` for a call that only the cache may answer, if it can't.
        """
        mode = call.cache.mode
        policy = self._answers.policy_of(call.route.name)
        if policy.enabled and call.cache.reads and (found := self._answers.find(call)):
            if found.standing is Standing.FRESH:
                return self._answers.reply(found)
            if found.standing is Standing.REVALIDATE and mode is CacheMode.DEFAULT:
                self._ask_anew(call)
                return self._answers.reply(found)
        if mode is CacheMode.ONLY:
            raise NotCached(_missing(call, enabled=policy.enabled))
        generation = self._answers.generation
        reply = await self._next(call)
        if policy.enabled and mode is not CacheMode.BYPASS:
            self._watch(call, reply, generation)
        return reply

    def _watch(self, call: Call, reply: Reply, generation: int) -> None:
        """Keep a reply's answer when it is whole."""
        if reply.head.source not in (Source.UPSTREAM, Source.COALESCED):
            return
        message = reply.at_hand
        if message is not None:
            # Paid for as it is, whether or not the caller stays to read it.
            self._answers.keep(call, reply.head, message, generation)
        elif reply.outcome is None:
            reply.on_end(partial(self._ended, call, reply, reply.record(), generation))

    def _ended(
        self, call: Call, reply: Reply, batches: list[Batch], generation: int, outcome: Outcome
    ) -> None:
        # Of those who share a stream one has it as the upstream's, and keeps it for all.
        if outcome.ending is not Ending.COMPLETED or reply.head.source is not Source.UPSTREAM:
            return
        if any(isinstance(event, Continued | Restarted) for batch in batches for event in batch):
            return
        last = batches[-1][-1]
        if isinstance(last, Finished) and self._answers.wants(call, reply.head, last.stop_reason):
            self._answers.keep(call, reply.head, fold(batches), generation)

    def _ask_anew(self, call: Call) -> None:
        key = self._answers.key(call)
        if key in self._refreshing or len(self._refreshing) >= _REFRESHING:
            return
        trace = call.trail.trace
        anew = replace(
            call,
            request_id=f"{call.request_id}/refresh",
            mode=Mode.UNARY,
            priority=Priority.BATCH,
            cache=replace(call.cache, mode=CacheMode.REFRESH),
            trail=Trail(trace.below() if trace else None),
        )
        task = self._refreshing[key] = asyncio.ensure_future(self._renew(anew))
        timer = self._clock.call_at(call.deadline, task.cancel)

        def done(task: "asyncio.Task[None]") -> None:
            timer.cancel()
            del self._refreshing[key]
            if not task.cancelled():
                task.exception()  # Whoever asks next asks again, and is told.

        task.add_done_callback(done)

    async def _renew(self, call: Call) -> None:
        generation = self._answers.generation
        reply = await self._refresh(call)
        message = await reply.message()
        self._answers.keep(call, reply.head, message, generation)

    async def aclose(self) -> None:
        """Give up what is being asked for anew."""
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def __repr__(self) -> str:
        return f"<ExactCache, {self._answers!r}, {len(self._refreshing)} asked for anew>"


def _missing(call: Call, *, enabled: bool) -> str:
    if not enabled:
        return f"route {call.route.name} has no cache (cache.enabled), and mode ONLY asks no target"
    return "no fresh answer is cached, and mode ONLY asks no target"
