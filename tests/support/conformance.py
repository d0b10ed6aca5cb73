"""What every layer must do, whatever else it does: the suite that each is run through.

Subclass it, define `layer`, and pytest runs each promise for unary and for stream calls.
"""

import asyncio

import pytest

from sidecard.core.call import Call, Mode
from sidecard.core.errors import UpstreamInterrupted, UpstreamRefused
from sidecard.core.fold import fold
from sidecard.core.handler import Handler
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Reply
from tests.support.script import MIDDLE, OPENING, USAGE, WHOLE, Hang, Script, a_call


class Ends:
    """An end hook that keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[Outcome] = []

    def __call__(self, outcome: Outcome) -> None:
        self.heard.append(outcome)

    @property
    def only(self) -> Outcome:
        assert len(self.heard) == 1, self.heard
        return self.heard[0]


class Innermost:
    """Between the layer and the script: hangs a hook on every reply before the layer can."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.ends = Ends()

    async def __call__(self, call: Call) -> Reply:
        reply = await self._script(call)
        reply.on_end(self.ends)
        return reply


@pytest.mark.parametrize("mode", list(Mode), ids=[mode.value for mode in Mode])
class LayerConformance:
    """The promises. A layer that retries or falls back overrides what it changes on purpose."""

    def layer(self, next_: Handler) -> Handler:
        """Return the layer under test, wrapped around `next_`."""
        raise NotImplementedError

    async def test_completion_reaches_both_ends(self, mode: Mode) -> None:
        """A whole answer passes unchanged, and ends completed, closed once, for all."""
        script = Script(WHOLE)
        inner, outer = Innermost(script), Ends()
        reply = await self.layer(inner)(a_call(mode=mode))
        reply.on_end(outer)
        assert await reply.message() == fold(WHOLE)
        assert inner.ends.only.ending is outer.only.ending is Ending.COMPLETED
        assert outer.only.usage == USAGE
        assert script.streams[0].closed == 1
        await reply.aclose()
        assert script.streams[0].closed == 1
        assert len(outer.heard) == 1

    async def test_abandoning_reaches_both_ends(self, mode: Mode) -> None:
        """A caller who leaves after the first batch closes the source, once, and all hear it."""
        script = Script(WHOLE)
        inner, outer = Innermost(script), Ends()
        reply = await self.layer(inner)(a_call(mode=mode))
        reply.on_end(outer)
        await anext(aiter(reply))
        await reply.aclose()
        await reply.aclose()
        assert inner.ends.only.ending is outer.only.ending is Ending.ABANDONED
        assert outer.only.usage is not None
        assert outer.only.usage.input_tokens == USAGE.input_tokens
        assert script.streams[0].closed == 1

    async def test_abandoning_unread_reaches_both_ends(self, mode: Mode) -> None:
        """A caller who leaves before reading anything is heard of, too."""
        script = Script(WHOLE)
        inner = Innermost(script)
        reply = await self.layer(inner)(a_call(mode=mode))
        await reply.aclose()
        assert inner.ends.only.ending is Ending.ABANDONED
        assert script.streams[0].closed == 1

    async def test_a_broken_stream_fails_for_all(self, mode: Mode) -> None:
        """A stream that breaks after commit raises at the reader and ends failed everywhere."""
        broken = UpstreamInterrupted("it broke")
        script = Script([OPENING, MIDDLE, broken])
        inner, outer = Innermost(script), Ends()
        reply = await self.layer(inner)(a_call(mode=mode))
        reply.on_end(outer)
        with pytest.raises(UpstreamInterrupted, match="it broke"):
            await reply.message()
        assert inner.ends.only.ending is outer.only.ending is Ending.FAILED
        assert script.streams[0].closed == 1

    async def test_a_truncated_stream_is_never_whole(self, mode: Mode) -> None:
        """A stream that just stops, without `Finished`, is a failure by type."""
        script = Script([OPENING, MIDDLE])
        reply = await self.layer(script)(a_call(mode=mode))
        with pytest.raises(UpstreamInterrupted):
            await reply.message()

    async def test_errors_before_commit_pass(self, mode: Mode) -> None:
        """What the next handler raises comes out as it is."""
        refused = UpstreamRefused("no")
        with pytest.raises(UpstreamRefused) as raised:
            await self.layer(Script(refused))(a_call(mode=mode))
        assert raised.value is refused

    async def test_cancelling_before_commit_passes(self, mode: Mode) -> None:
        """A caller who leaves while waiting cancels what is behind the layer, at once."""
        script = Script(Hang())
        task = asyncio.ensure_future(self.layer(script)(a_call(mode=mode)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert script.cancelled == 1

    async def test_cancelling_after_commit_abandons(self, mode: Mode) -> None:
        """A reader who is cancelled between two batches abandons the reply."""
        script = Script([OPENING, Hang()])
        inner = Innermost(script)
        reply = await self.layer(inner)(a_call(mode=mode))
        task = asyncio.ensure_future(reply.message())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert inner.ends.only.ending is Ending.ABANDONED
        assert script.streams[0].closed == 1

    async def test_nothing_is_left_running(self, mode: Mode) -> None:
        """After a completed and an abandoned call no task of the layer is left."""
        before = asyncio.all_tasks()
        layer = self.layer(Script(WHOLE, WHOLE))
        await (await layer(a_call(mode=mode))).message()
        await (await layer(a_call(mode=mode))).aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
