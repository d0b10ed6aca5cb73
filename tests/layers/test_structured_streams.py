"""`Structured` with streams, and in the conformance suite with and without a schema."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sidecard.core.call import Call, Mode
from sidecard.core.errors import (
    InvalidOutput,
)
from sidecard.core.event import Checked, Finished
from sidecard.core.fold import unfold
from sidecard.core.handler import Handler
from sidecard.core.message import Message
from sidecard.core.outcome import Ending
from sidecard.core.reply import Reply, Source
from sidecard.core.verdict import Verdict
from sidecard.layers.structured import Structured
from sidecard.policy.structured import StructuredPolicy
from tests.support.clock import ManualClock
from tests.support.conformance import LayerConformance
from tests.support.script import Script
from tests.support.structured import (
    BAD,
    GOOD,
    SCHEMA,
    Model,
    World,
    asking,
    saying,
)


class TestWithoutASchema(LayerConformance):
    """A call without a schema passes."""

    def layer(self, next_: Handler) -> Handler:
        return World(next_).layer


class Says:
    """A judge that finds all well, so that the suite's own answer passes."""

    async def problem(self, schema: str, limit_s: float, whose: str = "") -> str:
        del schema, limit_s, whose
        return ""

    async def verdict(self, schema: str, answer: str, limit_s: float, whose: str = "") -> Verdict:
        del schema, limit_s, whose
        return Verdict(f'"{answer}"')


class TestWithASchema(LayerConformance):
    """With one, all that a layer promises holds; the answer has its JSON besides."""

    def layer(self, next_: Handler) -> Handler:
        layer = Structured(
            Plain(next_),
            Says(),
            policies=lambda _: StructuredPolicy(),
            clock=ManualClock(),
            notes=lambda _: None,
        )
        return Plain(lambda call: layer(replace(call, output_schema=SCHEMA)))


class Plain:
    """Takes away again what the layer adds to the message, outside of it."""

    def __init__(self, next_: Callable[[Call], Any]) -> None:
        self._next = next_

    async def __call__(self, call: Call) -> Reply:
        reply: Reply = await self._next(call)
        if call.output_schema is None:
            read = reply.message

            async def message() -> Message:
                return replace(await read(), output_json="")

            return _Bare(reply, message)  # type: ignore[return-value]
        return reply


class _Bare:
    def __init__(self, reply: Reply, message: Callable[[], Any]) -> None:
        self._reply = reply
        self.message = message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reply, name)

    def __aiter__(self) -> Any:
        return aiter(self._reply)


def streamed(text: str, stop_reason: str = "end_turn") -> Sequence[Any]:
    """Return a stream that comes in three batches."""
    events = unfold(saying(text, stop_reason))
    return [events[:4], events[4:5], events[5:]]


async def test_a_stream_is_delivered_as_it_comes_and_ends_with_its_verdict() -> None:
    """The verdict is in the last batch, right before the end."""
    script = Script(streamed(GOOD))
    world = World(script)
    reply = await world.layer(asking(Mode.STREAM))
    batches = [batch async for batch in reply]
    assert batches[:2] == list(streamed(GOOD)[:2])
    assert batches[2][-2:] == (Checked(GOOD), Finished("end_turn"))
    assert script.streams[0].closed == 1
    assert world.verdicts == ["plain"]


async def test_an_invalid_stream_ends_with_the_verdict_and_then_an_error() -> None:
    """It never finishes; nothing is asked again, as the caller has read it."""
    script = Script(streamed(BAD))
    world = World(script)
    reply = await world.layer(asking(Mode.STREAM))
    batches = [await anext(reply) for _ in range(3)]
    with pytest.raises(InvalidOutput) as raised:
        await anext(reply)
    last = batches[-1][-1]
    assert isinstance(last, Checked)
    assert [violation.path for violation in last.violations] == ["/a"]
    assert not any(isinstance(event, Finished) for batch in batches for event in batch)
    assert raised.value.raw == BAD
    assert reply.outcome is not None
    assert reply.outcome.ending is Ending.FAILED
    assert world.verdicts == ["failed"]


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_stand_in_is_judged_like_any_other(mode: Mode) -> None:
    """An old answer, too; who gave it can't be asked again."""
    kept = replace(saying(GOOD), output_json=GOOD)
    model = Model(kept, saying(BAD), source=Source.CACHE_STALE)
    world = World(model)
    reply = await world.layer(asking(mode))
    batches = [batch async for batch in reply]
    assert [e for b in batches for e in b if isinstance(e, Checked)] == [Checked(GOOD)]
    with pytest.raises(InvalidOutput):
        await (await world.layer(asking(mode))).message()
    assert len(model.calls) == 2
