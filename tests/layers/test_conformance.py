"""Every layer of the stack through the conformance suite, and the suite through bad layers."""

import asyncio
from collections.abc import Callable

import pytest

from sidecard.core.call import Call, Mode
from sidecard.core.event import Batch
from sidecard.core.handler import Handler
from sidecard.core.reply import Reply
from sidecard.layers.observe import Observe
from tests.support.clock import ManualClock
from tests.support.conformance import LayerConformance


class TestPassThrough(LayerConformance):
    """The layer that does nothing."""

    def layer(self, next_: Handler) -> Handler:
        return next_


class TestObserve(LayerConformance):
    """`Observe` with a sink that takes everything."""

    def layer(self, next_: Handler) -> Handler:
        return Observe(next_, sink=lambda *_, **__: None, clock=ManualClock())


class Swallows:
    """A bad layer: folds the answer, so that abandoning never reaches the source."""

    def __init__(self, next_: Handler) -> None:
        self._next = next_

    async def __call__(self, call: Call) -> Reply:
        reply = await self._next(call)
        message = await reply.message()
        return Reply.whole(reply.head, message, ManualClock())


class Forgets:
    """A bad layer: hands on a reply of its own and never closes the inner one."""

    def __init__(self, next_: Handler) -> None:
        self._next = next_

    async def __call__(self, call: Call) -> Reply:
        reply = await self._next(call)
        self._kept = reply
        return Reply(reply.head, _Batches(reply), ManualClock())


class _Batches:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __anext__(self) -> Batch:
        return await anext(self._reply)

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("bad", "promise"),
    [
        (Swallows, "test_abandoning_reaches_both_ends"),
        (Swallows, "test_cancelling_after_commit_abandons"),
        (Forgets, "test_abandoning_unread_reaches_both_ends"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_suite_catches_bad_layers(
    bad: Callable[[Handler], Handler], promise: str
) -> None:
    """Each bad layer breaks the promise that it is bad at."""

    class Subject(LayerConformance):
        def layer(self, next_: Handler) -> Handler:
            return bad(next_)

    with pytest.raises((AssertionError, TimeoutError)):
        async with asyncio.timeout(0.2):
            await getattr(Subject(), promise)(Mode.STREAM)
