"""A stage: an inner handler whose every call the test plays by hand, batch by batch."""

import asyncio
from typing import Any

from sidecard.core.call import Call, Mode
from sidecard.core.event import Batch, Usage
from sidecard.core.fold import fold
from sidecard.core.outcome import Outcome
from sidecard.core.reply import Head, Reply
from sidecard.core.trail import Trail
from sidecard.layers.coalesce import Coalesce
from tests.support.clock import ManualClock
from tests.support.script import HEAD, a_call


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(12):
        await asyncio.sleep(0)


class Act:
    """One call on the stage, and the stream of its answer: nothing happens but what is told.

    As with the real upstream, a stream commits with its first batch, a unary call with its last.
    """

    def __init__(self, call: Call, clock: ManualClock) -> None:
        self.call = call
        self.head: Head = HEAD
        self.reply: Reply | None = None
        self.outcome: Outcome | None = None
        self.cancelled = False
        self.closed = 0
        self.reads = 0
        self.sent: list[Batch] = []
        self._clock = clock
        self._attempt = call.trail.begin("claude-test", clock.now())
        self._queue: asyncio.Queue[Batch | BaseException] = asyncio.Queue()
        self._committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def ended(self) -> bool:
        """Whether the call was cancelled or its stream closed."""
        return self.cancelled or self.closed > 0

    def send(self, *batches: Batch, last: bool = False) -> None:
        """Have the answer go on; `last` says that it is whole."""
        self.sent.extend(batches)
        for batch in batches:
            self._queue.put_nowait(batch)
        if (last or self.call.mode is Mode.STREAM) and not self._committed.done():
            self._committed.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Have the call fail, before it commits or in the middle of its answer."""
        if not self._committed.done():
            self._committed.set_exception(error)
        else:
            self._queue.put_nowait(error)

    async def answer(self) -> Reply:
        try:
            await self._committed
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self._attempt.duration_s = self._clock.now() - self._attempt.began
        if self.call.mode is Mode.UNARY:
            self.reply = Reply.whole(self.head, fold(self.sent), self._clock)
        else:
            self.reply = Reply(self.head, self, self._clock)
        self.reply.on_end(self._end)
        return self.reply

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._attempt.usage = outcome.usage or Usage()

    async def __anext__(self) -> Batch:
        self.reads += 1
        step = await self._queue.get()
        if isinstance(step, BaseException):
            raise step
        return step

    async def aclose(self) -> None:
        self.closed += 1


class Stage:
    """The handler; `acts` are its calls in order."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.acts: list[Act] = []

    async def __call__(self, call: Call) -> Reply:
        act = Act(call, self.clock)
        self.acts.append(act)
        return await act.answer()

    @property
    def only(self) -> Act:
        assert len(self.acts) == 1, f"{len(self.acts)} calls reached the stage"
        return self.acts[0]


def asked(coalesce: Coalesce, **fields: Any) -> tuple[Call, "asyncio.Task[Reply]"]:
    """Return a call and the task that makes it."""
    call = a_call(**fields)

    async def ask() -> Reply:
        return await coalesce(call)

    return call, asyncio.ensure_future(ask())


def told(trail: Trail) -> list[tuple[int, str, str, bool]]:
    """Return number, target, error of each attempt, and whether its usage is there."""
    return [(a.number, a.target, a.error, a.usage is not None) for a in trail]


def staged() -> tuple[Coalesce, Stage]:
    """Return the layer over a stage."""
    stage = Stage()
    return Coalesce(stage, clock=stage.clock), stage
