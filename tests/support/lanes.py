"""The hedging layer on a bench: the test decides what becomes of each attempt, and when."""

import asyncio
from functools import partial

from sidecard.core.call import Call
from sidecard.core.handler import Handler
from sidecard.core.note import Note
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Head, Reply, Source
from sidecard.core.trail import Attempt
from sidecard.layers.hedge import Hedge
from sidecard.policy.hedge import HedgePolicy
from sidecard.policy.latency import ENOUGH, LatencyQuantiles
from sidecard.policy.retry_budget import RetryBudget
from tests.support.clock import ManualClock
from tests.support.script import TARGET, USAGE, WHOLE, ScriptedStream, a_call


class _SlowToClose(ScriptedStream):
    """A stream that counts as closed only when nobody cut that short."""

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        await super().aclose()


class Lanes:
    """The rest of the stack: each attempt waits until the test says what becomes of it."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.clock = ManualClock()
        self.stubborn = stubborn
        self.lets_go = asyncio.Event()
        self.lets_go.set()
        self.queued = False
        self.attempts: list[Attempt] = []
        self.fates: list[asyncio.Future[None]] = []
        self.streams: list[ScriptedStream] = []
        self.ends: dict[int, Ending] = {}
        self.cancelled: list[int] = []

    async def __call__(self, call: Call) -> Reply:
        number = len(self.fates)
        self.fates.append(asyncio.get_running_loop().create_future())
        if self.queued:
            await asyncio.Event().wait()
        attempt = call.trail.begin(call.target.name, self.clock.now())
        self.attempts.append(attempt)
        try:
            await self.fates[number]
        except asyncio.CancelledError:
            self.cancelled.append(number)
            attempt.error, attempt.usage = "ABANDONED", USAGE
            await self.lets_go.wait()
            if not self.stubborn:
                raise
        attempt.duration_s = self.clock.now() - attempt.began
        return self._reply(number, attempt)

    def _reply(self, number: int, attempt: Attempt) -> Reply:
        stream = _SlowToClose(WHOLE)
        self.streams.append(stream)
        head = Head(Source.UPSTREAM, TARGET.name, upstream_request_id=str(number), attempt=attempt)
        reply = Reply(head, stream, self.clock)
        reply.on_end(partial(self._end, number))
        return reply

    def _end(self, number: int, outcome: Outcome) -> None:
        self.ends[number] = outcome.ending

    def commit(self, number: int) -> None:
        self.fates[number].set_result(None)

    def fail(self, number: int, error: Exception) -> None:
        self.fates[number].set_exception(error)


class Hedging:
    """The layer over lanes, with everything it shares to look at."""

    def __init__(self, lanes: Handler, clock: ManualClock, **policy: object) -> None:
        fields: dict[str, object] = {"enabled": True, "delay_s": 1.0, **policy}
        self.clock = clock
        self.budget = RetryBudget()
        self.times: dict[str, LatencyQuantiles] = {}
        self.notes: list[Note] = []
        self.layer = Hedge(
            lanes,
            policies=lambda _: HedgePolicy(**fields),  # type: ignore[arg-type]
            budget=self.budget,
            latency_of=lambda name: self.times.setdefault(name, LatencyQuantiles()),
            clock=clock,
            notes=self._note,
        )

    def _note(self, note: Note) -> None:
        self.notes.append(note)

    def learn(self, name: str, seconds: float) -> None:
        self.times[name] = LatencyQuantiles()
        for _ in range(ENOUGH):
            self.times[name].record(seconds, self.clock.now())

    def call(self, **changes: object) -> "asyncio.Task[Reply]":
        return asyncio.ensure_future(handled(self.layer, **changes))

    async def hedged(self, **changes: object) -> "asyncio.Task[Reply]":
        """Return a call that has two attempts now."""
        task = self.call(**changes)
        await settle()
        self.clock.advance(1.0)
        await settle()
        assert self.layer.hedging == 1
        return task


async def handled(layer: Handler, **changes: object) -> Reply:
    """Make a call, as a task can."""
    return await layer(a_call(**changes))


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def hedging(**policy: object) -> tuple[Hedging, Lanes]:
    """Return the layer over lanes, with a fixed delay of 1 s unless told otherwise."""
    lanes = Lanes()
    return Hedging(lanes, lanes.clock, **policy), lanes
