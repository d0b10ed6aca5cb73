"""Replies: one end, heard by all, and no broken stream that looks whole."""

import asyncio
import logging

import pytest

from sidecard.core.errors import UpstreamInterrupted
from sidecard.core.fold import fold
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Reply, Source
from tests.support.clock import ManualClock
from tests.support.conformance import Ends
from tests.support.script import CLOSING, HEAD, MIDDLE, OPENING, USAGE, WHOLE, Hang, ScriptedStream


def a_reply(*steps: object) -> tuple[Reply, ScriptedStream, Ends]:
    stream, ends = ScriptedStream(steps), Ends()  # type: ignore[arg-type]
    reply = Reply(HEAD, stream, ManualClock())
    reply.on_end(ends)
    return reply, stream, ends


async def test_hooks_run_inner_first_and_despite_each_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Hooks run in the order they came, and one that fails keeps no other from running."""
    reply, _, _ = a_reply(*WHOLE)
    order: list[str] = []

    def fails(_: Outcome) -> None:
        order.append("inner")
        raise ZeroDivisionError

    reply.on_end(fails)
    reply.on_end(lambda _: order.append("outer"))
    with caplog.at_level(logging.ERROR):
        await reply.message()
    assert order == ["inner", "outer"]
    assert "an end hook failed" in caplog.text


async def test_the_end_comes_before_the_last_batch() -> None:
    """When the last batch is in the reader's hand, everything is settled and closed already."""
    reply, stream, ends = a_reply(*WHOLE)
    batches = [await anext(reply) for _ in WHOLE]
    assert tuple(batches) == WHOLE
    assert ends.only.ending is Ending.COMPLETED
    assert stream.closed == 1
    with pytest.raises(StopAsyncIteration):
        await anext(reply)


async def test_a_hook_that_comes_late_runs_at_once() -> None:
    """A hook put on a reply that has ended hears of it all the same."""
    reply, _, _ = a_reply(*WHOLE)
    await reply.message()
    late = Ends()
    reply.on_end(late)
    assert late.only.ending is Ending.COMPLETED


async def test_a_failed_reply_keeps_failing() -> None:
    """Reading on after a failure raises it again: never a clean end."""
    reply, stream, ends = a_reply(OPENING, UpstreamInterrupted("broke"))
    await anext(reply)
    for _ in range(2):
        with pytest.raises(UpstreamInterrupted, match="broke"):
            await anext(reply)
    assert ends.only.usage is not None
    assert stream.closed == 1


async def test_an_abandoned_reply_has_no_more() -> None:
    """Reading a reply after closing it is a bug, and says so."""
    reply, _, _ = a_reply(*WHOLE)
    await reply.aclose()
    with pytest.raises(RuntimeError, match="closed before its end"):
        await anext(reply)


async def test_truncation_carries_the_usage() -> None:
    """A stream that stops without `Finished` ends failed, with what it used so far."""
    reply, _, ends = a_reply(OPENING, MIDDLE)
    with pytest.raises(UpstreamInterrupted):
        await reply.message()
    assert ends.only.ending is Ending.FAILED
    assert ends.only.usage is not None
    assert ends.only.usage.input_tokens == USAGE.input_tokens


async def test_hooks_run_even_if_closing_is_cancelled() -> None:
    """A second cancellation in the middle of closing doesn't keep permits."""

    class Slow(ScriptedStream):
        async def aclose(self) -> None:
            self.closed += 1
            await asyncio.Event().wait()

    stream, ends = Slow([OPENING, Hang()]), Ends()
    reply = Reply(HEAD, stream, ManualClock())
    reply.on_end(ends)
    task = asyncio.ensure_future(reply.aclose())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ends.only.ending is Ending.ABANDONED
    assert stream.closed == 1


async def test_a_whole_message_reads_both_ways() -> None:
    """A reply made of a message gives it back, and the same as a stream."""
    message = fold(WHOLE)
    folded = Reply.whole(HEAD, message, ManualClock())
    assert await folded.message() is message
    assert folded.outcome is not None
    assert folded.outcome.usage == USAGE
    streamed = Reply.whole(HEAD, message, ManualClock())
    assert fold([batch async for batch in streamed]) == message


async def test_an_unread_whole_message_still_counts() -> None:
    """What was used for an answer that nobody read is known."""
    reply = Reply.whole(HEAD, fold(WHOLE), ManualClock())
    await reply.aclose()
    assert reply.outcome is not None
    assert (reply.outcome.ending, reply.outcome.usage) == (Ending.ABANDONED, USAGE)


async def test_a_forgotten_reply_warns() -> None:
    """A reply that nobody read or closed is a leak, and is told of."""
    reply, _, _ = a_reply(*WHOLE)
    kept = [reply]
    del reply
    with pytest.warns(ResourceWarning, match="neither read to its end nor closed"):
        kept.clear()


async def test_first_event_and_end_are_timed() -> None:
    """The outcome has the moments of the first event and of the end."""
    clock = ManualClock(now=10.0)
    reply = Reply(HEAD, ScriptedStream(WHOLE), clock)
    await anext(reply)
    clock.advance(5)
    assert [batch async for batch in reply] == [MIDDLE, CLOSING]
    assert reply.outcome is not None
    assert (reply.outcome.first_event_at, reply.outcome.ended_at) == (10.0, 15.0)


async def test_the_head_can_be_amended() -> None:
    """An outer layer that knows more changes the head, and the repr shows the state."""
    reply, _, _ = a_reply(*WHOLE)
    reply.amend(source=Source.COALESCED)
    assert repr(reply) == "<Reply open, coalesced from claude-test>"
    await reply.aclose()
    assert repr(reply) == "<Reply abandoned, coalesced from claude-test>"
