"""A scripted inner handler: the test plays the rest of the stack."""

import asyncio
from collections.abc import Sequence

from sidecard.core.call import Call, Route, Target
from sidecard.core.event import (
    Batch,
    BlockStarted,
    BlockStopped,
    Delta,
    Finished,
    Started,
    Usage,
)
from sidecard.core.message import Message
from sidecard.core.reply import Head, Reply, Source
from tests.support.clock import ManualClock

TARGET = Target("claude-test")
ROUTE = Route("default", (TARGET,), 1024)
USAGE = Usage(input_tokens=7, output_tokens=3)
HEAD = Head(Source.UPSTREAM, TARGET.name)

OPENING: Batch = (
    Started("msg_1", "claude-test"),
    Usage(input_tokens=7),
    BlockStarted(0, {"type": "text", "text": ""}),
    Delta(0, {"type": "text_delta", "text": "Hel"}),
)
MIDDLE: Batch = (Delta(0, {"type": "text_delta", "text": "lo"}),)
CLOSING: Batch = (BlockStopped(0), USAGE, Finished("end_turn"))
WHOLE: tuple[Batch, ...] = (OPENING, MIDDLE, CLOSING)


def a_call(**changes: object) -> Call:
    """Return a call, with any field of it changed."""
    fields: dict[str, object] = {
        "request_id": "req-1",
        "tenant": "default",
        "route": ROUTE,
        "target": TARGET,
        "messages": ({"role": "user", "content": [{"type": "text", "text": "hi"}]},),
        "parameters": {"max_tokens": 1024},
        "deadline": 1_600.0,
    }
    return Call(**{**fields, **changes})  # type: ignore[arg-type]


class Hang:
    """A step that never comes."""


class ScriptedStream:
    """An `EventStream` of batches, exceptions to raise, and `Hang`; counts its closes."""

    def __init__(self, steps: Sequence[Batch | BaseException | Hang]) -> None:
        self._steps = list(steps)
        self.closed = 0
        self.reads = 0

    async def __anext__(self) -> Batch:
        self.reads += 1
        await asyncio.sleep(0)
        step = self._steps.pop(0) if self._steps else StopAsyncIteration()
        if isinstance(step, Hang):
            await asyncio.Event().wait()
        if isinstance(step, BaseException):
            raise step
        assert isinstance(step, tuple)
        return step

    async def aclose(self) -> None:
        self.closed += 1


class Script:
    """A handler that answers each call with the next of its acts, and notes the calls.

    An act is an exception, or the steps of a stream; `Hang` instead of either never answers.
    """

    def __init__(
        self, *acts: BaseException | Hang | Sequence[Batch | BaseException | Hang]
    ) -> None:
        self._acts = list(acts)
        self.clock = ManualClock()
        self.calls: list[Call] = []
        self.streams: list[ScriptedStream] = []
        self.cancelled = 0

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        act = self._acts.pop(0)
        try:
            await (asyncio.Event().wait() if isinstance(act, Hang) else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(act, BaseException):
            raise act
        assert not isinstance(act, Hang)
        stream = ScriptedStream(act)
        self.streams.append(stream)
        return Reply(HEAD, stream, self.clock)


def a_message(**changes: object) -> Message:
    """Return a message, with any field of it changed."""
    fields: dict[str, object] = {
        "id": "msg_1",
        "model": "claude-test",
        "content": ({"type": "text", "text": "Hello"},),
        "stop_reason": "end_turn",
        "usage": USAGE,
    }
    return Message(**{**fields, **changes})  # type: ignore[arg-type]
