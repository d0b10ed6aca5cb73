"""`Coalesce`: what is asked at the same time is asked once, and everybody gets all of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sidecard.core.call import (
    CacheMode,
    CachePolicy,
    FallbackPolicy,
    LastResort,
    Mode,
    Priority,
)
from sidecard.core.errors import UpstreamInterrupted, UpstreamThrottled
from sidecard.core.event import Batch, Usage
from sidecard.core.fold import fold, unfold
from sidecard.core.message import Message
from sidecard.core.outcome import Ending
from sidecard.core.reply import Reply, Source
from sidecard.layers.coalesce import Coalesce
from tests.support.conformance import Ends
from tests.support.script import CLOSING, MIDDLE, OPENING, ROUTE, USAGE, WHOLE, a_call
from tests.support.stage import Stage, settle

Fields = dict[str, Any]

STREAM: Fields = {"mode": Mode.STREAM}


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def coalesce(stage: Stage) -> AsyncIterator[Coalesce]:
    """Return the layer over the stage; afterwards it has to have let go of everything."""
    before = asyncio.all_tasks()
    coalesce = Coalesce(stage, clock=stage.clock)
    yield coalesce
    await settle()
    assert coalesce.flights == 0
    assert asyncio.all_tasks() <= before | {asyncio.current_task()}


def asking(coalesce: Coalesce, **fields: Any) -> "asyncio.Task[Reply]":
    """Return a task that asks."""

    async def ask() -> Reply:
        return await coalesce(a_call(**fields))

    return asyncio.ensure_future(ask())


async def batches(reply: Reply) -> list[Batch]:
    return [batch async for batch in reply]


async def test_a_thousand_at_once_are_one(coalesce: Coalesce, stage: Stage) -> None:
    """Of a thousand equal calls, unary and stream mixed, one goes on; all get the same answer."""
    modes = [Mode.STREAM, Mode.UNARY] * 500
    asked = [asking(coalesce, mode=mode, request_id=f"r{n}") for n, mode in enumerate(modes)]
    await settle()
    stage.only.send(*WHOLE)
    replies = await asyncio.gather(*asked)
    found = await asyncio.gather(*[reply.message() for reply in replies])
    assert all(message == fold(WHOLE) for message in found)
    sources = [reply.head.source for reply in replies]
    assert sources == [Source.UPSTREAM, *[Source.COALESCED] * 999]
    assert stage.only.closed == 1


async def test_who_comes_late_misses_nothing(coalesce: Coalesce, stage: Stage) -> None:
    """A follower is given what there was at once, and what comes as it comes."""
    first = asking(coalesce, **STREAM)
    await settle()
    stage.only.send(OPENING)
    leader = await first
    assert await anext(leader) == OPENING
    stage.only.send(MIDDLE)
    assert await anext(leader) == MIDDLE
    late = await asking(coalesce, **STREAM)
    assert [await anext(late), await anext(late)] == [OPENING, MIDDLE]
    following = asyncio.ensure_future(batches(late))
    await settle()
    assert not following.done()
    stage.only.send(CLOSING)
    assert await following == [CLOSING]
    assert await batches(leader) == [CLOSING]
    assert (leader.head.source, late.head.source) == (Source.UPSTREAM, Source.COALESCED)


async def test_the_next_after_the_end_starts_anew(coalesce: Coalesce, stage: Stage) -> None:
    """What has ended is no flight any more, though a slow reader still has it before him."""
    first = asking(coalesce, **STREAM)
    await settle()
    stage.acts[0].send(*WHOLE)
    slow, quick = await first, await asking(coalesce)
    assert await quick.message() == fold(WHOLE)
    again = asking(coalesce)
    await settle()
    assert len(stage.acts) == 2
    stage.acts[1].send(*WHOLE, last=True)
    assert (await again).head.source is Source.UPSTREAM
    assert await batches(slow) == list(WHOLE)
    await (await again).aclose()


async def test_a_unary_caller_folds_a_stream(coalesce: Coalesce, stage: Stage) -> None:
    """It has its reply when the whole is there, however slowly the leader reads."""
    first = asking(coalesce, **STREAM)
    await settle()
    stage.only.send(OPENING)
    leader, unary = await first, asking(coalesce)
    await settle()
    assert not unary.done()
    stage.only.send(MIDDLE, CLOSING)
    reply = await unary
    assert await reply.message() == fold(WHOLE)
    assert reply.head.source is Source.COALESCED
    await leader.aclose()


async def test_a_stream_caller_gets_a_unary_flight_packed(coalesce: Coalesce, stage: Stage) -> None:
    """There is no early part of an answer that comes whole; it comes as one batch."""
    asked = [asking(coalesce), asking(coalesce, **STREAM)]
    await settle()
    assert stage.only.call.mode is Mode.UNARY
    stage.only.send(*WHOLE, last=True)
    unary, stream = await asyncio.gather(*asked)
    assert await batches(stream) == [unfold(fold(WHOLE))]
    assert await unary.message() == fold(WHOLE)
    assert stage.only.outcome is not None
    assert stage.only.outcome.ending is Ending.COMPLETED


async def test_the_leader_may_leave(coalesce: Coalesce, stage: Stage) -> None:
    """Before the answer and in the middle of it: the others go on, and the next one speaks."""
    first, second, third = (asking(coalesce, **STREAM) for _ in range(3))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    stage.only.send(OPENING)
    heir, last = await second, await third
    assert (heir.head.source, last.head.source) == (Source.UPSTREAM, Source.COALESCED)
    await anext(heir)
    await heir.aclose()
    assert (heir.head.source, last.head.source) == (Source.COALESCED, Source.UPSTREAM)
    assert not stage.only.closed
    stage.only.send(MIDDLE, CLOSING)
    assert await batches(last) == list(WHOLE)


@pytest.mark.parametrize("sent", [(), (OPENING,), (OPENING, MIDDLE)])
async def test_when_the_last_leaves_upstream_ends(
    coalesce: Coalesce, stage: Stage, sent: tuple[Batch, ...]
) -> None:
    """Nobody pays for what nobody wants: it has ended when the last one's leaving has."""

    async def read() -> Message:
        return await (await coalesce(a_call(**STREAM))).message()

    first, second = asyncio.ensure_future(read()), asyncio.ensure_future(read())
    await settle()
    stage.acts[0].send(*sent)
    await settle()
    first.cancel()
    await settle()
    assert not stage.acts[0].ended
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert stage.acts[0].ended
    again = asking(coalesce)
    await settle()
    assert len(stage.acts) == 2
    again.cancel()


async def test_the_last_may_close_a_reply_that_it_never_read(
    coalesce: Coalesce, stage: Stage
) -> None:
    """Upstream is closed when the last reply is, and not before."""
    asked = [asking(coalesce, **STREAM) for _ in range(2)]
    await settle()
    stage.only.send(OPENING, MIDDLE, MIDDLE)
    first, second = await asyncio.gather(*asked)
    await settle()
    await first.aclose()
    assert stage.only.closed == 0
    await second.aclose()
    assert stage.only.closed == 1
    assert stage.only.outcome is not None
    assert stage.only.outcome.ending is Ending.ABANDONED


async def test_a_call_cancelled_before_it_began_leaves_nothing(
    coalesce: Coalesce, stage: Stage
) -> None:
    """A caller who leaves before its first step has no seat that anybody would wait for."""
    task = asking(coalesce)
    task.cancel()
    await settle()
    assert (task.cancelled(), stage.acts) == (True, [])


async def test_a_failing_flight_fails_all(coalesce: Coalesce, stage: Stage) -> None:
    """All get the same error, each one's own; the next caller starts anew."""
    asked = [asking(coalesce, mode=mode) for mode in (Mode.STREAM, Mode.UNARY, Mode.STREAM)]
    await settle()
    error = UpstreamThrottled("slow down", retry_after_s=3.0, target="claude-test")
    error.status, error.usage = 429, USAGE
    stage.acts[0].fail(error)
    found = await asyncio.gather(*asked, return_exceptions=True)
    for other in found:
        assert isinstance(other, UpstreamThrottled)
        assert vars(other) == vars(error)
        other.message += ", written on by a layer outside"
        other.retry_after_s = None
    assert len({id(other) for other in found}) == 3
    again = asking(coalesce)
    await settle()
    assert len(stage.acts) == 2
    again.cancel()


async def test_a_broken_stream_breaks_for_all(coalesce: Coalesce, stage: Stage) -> None:
    """Who reads along gets the part that there was, and then the error; who folds, only that."""
    first, unary = asking(coalesce, **STREAM), asking(coalesce)
    await settle()
    stage.only.send(OPENING, MIDDLE)
    leader, late = await first, await asking(coalesce, **STREAM)
    ends, others = Ends(), Ends()
    leader.on_end(ends)
    late.on_end(others)
    stage.only.fail(UpstreamInterrupted("it broke"))
    with pytest.raises(UpstreamInterrupted, match="it broke"):
        await unary
    for reply in (leader, late):
        assert [await anext(reply), await anext(reply)] == [OPENING, MIDDLE]
        with pytest.raises(UpstreamInterrupted, match="it broke"):
            await anext(reply)
    assert (ends.only.ending, ends.only.usage) == (Ending.FAILED, replace(USAGE, output_tokens=0))
    assert (others.only.ending, others.only.usage) == (Ending.FAILED, Usage())


async def test_a_slow_reader_holds_nobody(coalesce: Coalesce, stage: Stage) -> None:
    """The upstream is read as the fastest reader needs it, and two batches ahead of that."""
    first, second = asking(coalesce, **STREAM), asking(coalesce, **STREAM)
    await settle()
    parts = [OPENING, *[MIDDLE] * 20, CLOSING]
    stage.only.send(*parts)
    slow, quick = await first, await second
    await settle()
    assert stage.only.reads == 2
    for _ in range(5):
        await anext(quick)
    await settle()
    assert stage.only.reads == 7
    assert len(await batches(quick)) == len(parts) - 5
    assert await batches(slow) == parts


async def test_each_keeps_its_own_time(coalesce: Coalesce, stage: Stage) -> None:
    """A deadline ends its own caller's waiting alone; the flight has the latest of them."""
    first = asking(coalesce, deadline=1_010.0)
    await settle()
    second, third = asking(coalesce, deadline=1_030.0), asking(coalesce, deadline=1_020.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await first
    await settle()
    assert stage.only.call.deadline == 1_030.0
    stage.only.send(*WHOLE, last=True)
    assert await (await second).message() == await (await third).message() == fold(WHOLE)


ALIKE: list[Fields] = [
    {"request_id": "another"},
    {"deadline": 1_700.0},
    {"mode": Mode.STREAM},
    {"priority": Priority.BATCH},
    {"labels": {"team": "x"}},
    {"cache": CachePolicy(ttl_s=5.0)},
    {"fallback": FallbackPolicy(continue_stream=False)},
    {"route": replace(ROUTE)},
    {"parameters": {"max_tokens": 1024.0}},
]
APART: list[Fields] = [
    {"tenant": "acme"},
    {"parameters": {"max_tokens": 1023}},
    {"messages": ({"role": "user", "content": "ho"},)},
    {"output_schema": {"type": "object"}},
    {"cache": CachePolicy(namespace="v2")},
    {"cache": CachePolicy(CacheMode.REFRESH)},
    {"cache": CachePolicy(CacheMode.BYPASS)},
    {"fallback": FallbackPolicy(frozenset([LastResort.STATIC]))},
    {"fallback": FallbackPolicy(continue_stream=True)},
    {"route": replace(ROUTE, static_message="sorry")},
    {"route": replace(ROUTE, targets=(*ROUTE.targets, *ROUTE.targets))},
    {"max_cost_nano_usd": 5},
    {"max_input_tokens": 5},
]


@pytest.mark.parametrize(
    ("fields", "flights"), [*[(f, 1) for f in ALIKE], *[(f, 2) for f in APART]]
)
async def test_who_shares(coalesce: Coalesce, stage: Stage, fields: Fields, flights: int) -> None:
    """Whose answer can't differ, and is bounded alike, shares; a tenant with nobody else."""
    asked = [asking(coalesce), asking(coalesce, **fields)]
    await settle()
    assert len(stage.acts) == flights
    for task in asked:
        task.cancel()


@pytest.mark.parametrize(("mode", "flights"), [(CacheMode.REFRESH, 1), (CacheMode.BYPASS, 2)])
async def test_a_bypass_is_for_an_answer_of_ones_own(
    coalesce: Coalesce, stage: Stage, mode: CacheMode, flights: int
) -> None:
    """Two who refresh share; two who bypass never do."""
    asked = [asking(coalesce, cache=CachePolicy(mode)) for _ in range(2)]
    await settle()
    assert len(stage.acts) == flights
    for task in asked:
        task.cancel()
