"""`Coalesce`: what each caller is told of the call that was made for all, and rare endings."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecard.core.call import Call, Mode, Priority
from sidecard.core.errors import UpstreamThrottled, UpstreamUnavailable
from sidecard.core.event import Restarted
from sidecard.core.fold import fold
from sidecard.core.reply import Reply, Source
from sidecard.core.trail import Trail
from sidecard.layers.coalesce import Coalesce
from sidecard.policy.fingerprint import Fingerprint
from tests.support.script import CLOSING, MIDDLE, OPENING, USAGE, WHOLE, a_call
from tests.support.stage import Act, Stage, settle

STREAM = Mode.STREAM


def asked(coalesce: Coalesce, **fields: Any) -> tuple[Call, "asyncio.Task[Reply]"]:
    """Return a call and the task that makes it."""
    call = a_call(**fields)

    async def ask() -> Reply:
        return await coalesce(call)

    return call, asyncio.ensure_future(ask())


def told(trail: Trail) -> list[tuple[int, str, str, bool]]:
    return [(a.number, a.target, a.error, a.usage is not None) for a in trail]


def staged() -> tuple[Coalesce, Stage]:
    stage = Stage()
    return Coalesce(stage, clock=stage.clock), stage


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_lone_caller_is_told_all(mode: Mode) -> None:
    """A call that nobody joins has its own trail, usage and wait, as if there were no flight."""
    coalesce, stage = staged()
    call, task = asked(coalesce, mode=mode)
    await settle()
    stage.only.call.trail.queued_s = 0.5
    stage.clock.advance(2)
    stage.only.send(*WHOLE, last=True)
    reply = await task
    await reply.message()
    assert told(call.trail) == [(1, "claude-test", "", True)]
    assert (call.trail.sent, call.trail.queued_s) == (1, 0.5)
    assert next(iter(call.trail)).duration_s == 2
    assert reply.head is stage.only.head


async def test_all_are_told_of_the_attempts_and_one_of_what_they_cost() -> None:
    """Attempts and skipped targets show in every answer; tokens are the speaker's to count."""
    coalesce, stage = staged()
    calls = [asked(coalesce, mode=mode) for mode in (STREAM, STREAM, Mode.UNARY)]
    await settle()
    trail = stage.only.call.trail
    next(iter(trail)).error = "UPSTREAM_THROTTLED"
    trail.skip("claude-b", 1_000.0, "BREAKER_OPEN")
    trail.begin("claude-c", 1_000.0)
    trail.queued_s = 0.5
    stage.only.send(*WHOLE)
    for call, task in calls:
        await (await task).message()
        paid = call is calls[0][0]
        assert [(target, error) for _, target, error, _ in told(call.trail)] == [
            ("claude-test", "UPSTREAM_THROTTLED"),
            ("claude-b", "BREAKER_OPEN"),
            ("claude-c", ""),
        ]
        assert [usage for *_, usage in told(call.trail)] == [paid, False, False]
        assert (call.trail.sent, call.trail.queued_s) == (2, 0.5 if paid else 0)
        assert call.trail is not trail


async def test_of_a_failure_one_is_told_the_attempts() -> None:
    """What failed is counted once, however many it failed."""
    coalesce, stage = staged()
    calls = [asked(coalesce) for _ in range(3)]
    await settle()
    stage.only.fail(UpstreamThrottled("no"))
    await asyncio.gather(*[task for _, task in calls], return_exceptions=True)
    assert [call.trail.sent for call, _ in calls] == [1, 0, 0]


@pytest.mark.parametrize("landed", [True, False])
async def test_who_speaks_is_told_instead_of_one_who_left(landed: bool) -> None:  # noqa: FBT001
    """Whose answer says UPSTREAM has the cost; whoever left before the end has neither."""
    coalesce, stage = staged()
    (first, leaving), (second, staying), (_, other) = [asked(coalesce) for _ in range(3)]
    await settle()
    if landed:
        stage.only.send(*WHOLE, last=True)
        await asyncio.sleep(0)  # The flight has its answer, and its callers are about to.
    leaving.cancel()
    await settle()
    if not landed:
        stage.only.send(*WHOLE, last=True)
    replies = await asyncio.gather(staying, other)
    assert [reply.head.source for reply in replies] == [Source.UPSTREAM, Source.COALESCED]
    await asyncio.gather(*[reply.message() for reply in replies])
    assert leaving.cancelled()
    assert (first.trail.sent, told(second.trail)) == (0, [(1, "claude-test", "", True)])


async def test_a_head_that_changes_changes_for_all() -> None:
    """A stream that goes on at another target says so to everybody, whoever asked."""
    coalesce, stage = staged()
    (_, one), (_, other) = asked(coalesce, mode=STREAM), asked(coalesce, mode=STREAM)
    await settle()
    stage.only.send(OPENING)
    first, second = await one, await other
    await anext(first)
    assert stage.only.reply is not None
    stage.only.reply.amend(target="claude-b", degraded=True)
    stage.only.send((Restarted("claude-test", "claude-b", "X"),), *WHOLE)
    await asyncio.gather(first.message(), second.message())
    assert {(r.head.target, r.head.degraded) for r in (first, second)} == {("claude-b", True)}
    assert (first.head.source, second.head.source) == (Source.UPSTREAM, Source.COALESCED)


async def test_a_stand_in_is_named_as_one_to_all() -> None:
    """Who follows a flight that ended in a last resort is told of that."""
    coalesce, stage = staged()
    calls = [asked(coalesce, mode=STREAM) for _ in range(2)]
    await settle()
    stage.only.head = replace(stage.only.head, source=Source.STATIC, degraded=True)
    stage.only.send(*WHOLE)
    for _, task in calls:
        reply = await task
        assert (reply.head.source, reply.head.degraded) == (Source.STATIC, True)
        await reply.message()


async def test_the_urgent_do_not_wait_in_the_line_of_the_others() -> None:
    """Before anything was sent they take a flight of their own, which the others may join."""
    coalesce, stage = staged()
    waits = asyncio.Event()

    async def admit(call: Call) -> Reply:
        if call.priority is Priority.BATCH:
            await waits.wait()
        return await stage(call)

    coalesce = Coalesce(admit, clock=stage.clock)
    _, batch = asked(coalesce, priority=Priority.BATCH)
    await settle()
    _, urgent = asked(coalesce)
    await settle()
    _, late = asked(coalesce, priority=Priority.BATCH)
    await settle()
    stage.only.send(*WHOLE, last=True)
    assert await (await urgent).message() == await (await late).message() == fold(WHOLE)
    waits.set()
    await settle()
    stage.acts[1].send(*WHOLE, last=True)
    await (await batch).message()
    assert (len(stage.acts), coalesce.flights) == (2, 0)


async def test_what_was_sent_is_shared_with_the_urgent() -> None:
    """A flight of those who have time is joined once it is on its way, and then is as urgent."""
    coalesce, stage = staged()
    calls = [asked(coalesce, priority=Priority.BATCH)]
    await settle()
    calls.append(asked(coalesce))
    await settle()
    assert stage.only.call.priority is Priority.INTERACTIVE
    stage.only.send(*WHOLE, last=True)
    for _, task in calls:
        await (await task).message()


async def test_leaving_waits_for_the_end_through_a_second_cancellation() -> None:
    """Whoever leaves last has left when all behind is released, and is cancelled all the same."""
    coalesce, stage = staged()
    _, task = asked(coalesce, mode=STREAM)
    await settle()
    stage.only.send(OPENING)
    reply = await task
    closing = asyncio.Event()

    async def close() -> None:
        await closing.wait()
        stage.only.closed += 1

    stage.only.aclose = close  # type: ignore[method-assign]
    leaving = asyncio.ensure_future(reply.aclose())
    await settle()
    leaving.cancel()
    await settle()
    assert not leaving.done()
    closing.set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert stage.only.closed == 1
    assert coalesce.flights == 0


async def test_an_answer_nobody_waits_for_is_closed() -> None:
    """A handler that ignores its cancellation, and answers, holds nothing open."""
    stage = Stage()

    async def stubborn(call: Call) -> Reply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            act = Act(call, stage.clock)
            stage.acts.append(act)
            act.send(*WHOLE, last=True)
            return await act.answer()
        raise AssertionError

    coalesce = Coalesce(stubborn, clock=stage.clock)
    _, task = asked(coalesce, mode=STREAM)
    await settle()
    task.cancel()
    await settle()
    assert task.cancelled()
    assert stage.only.closed == 1


async def test_a_unary_answer_that_comes_too_late_is_closed() -> None:
    """A caller who is cancelled while its answer is handed over abandons it, with its usage."""
    coalesce, stage = staged()
    call, task = asked(coalesce)
    await settle()
    stage.only.send(*WHOLE, last=True)
    await asyncio.sleep(0)
    task.cancel()
    await settle()
    assert task.cancelled()
    assert stage.only.outcome is not None
    assert stage.only.outcome.usage == USAGE
    assert told(call.trail) == [(1, "claude-test", "", True)]


async def test_when_the_flight_itself_is_cancelled_all_hear_it() -> None:
    """As at the end of the event loop: nobody is left waiting."""
    coalesce, stage = staged()
    before = asyncio.all_tasks()
    calls = [asked(coalesce, mode=mode) for mode in (STREAM, Mode.UNARY)]
    asking = {task for _, task in calls}
    await settle()
    [flight] = asyncio.all_tasks() - before - asking
    flight.cancel()
    await asyncio.wait(asking)
    assert all(task.cancelled() for task in (flight, *asking))
    assert stage.only.cancelled
    assert coalesce.flights == 0


async def test_a_caller_cancelled_as_the_answer_comes_disturbs_nobody() -> None:
    """In one turn of the loop somebody leaves and the answer arrives: the others have it."""
    coalesce, stage = staged()
    calls = [asked(coalesce, mode=STREAM) for _ in range(3)]
    await settle()
    stage.only.send(OPENING)
    calls[0][1].cancel()
    await settle()
    readers = [asyncio.ensure_future((await task).message()) for _, task in calls[1:]]
    await settle()
    stage.only.send(MIDDLE, CLOSING)
    readers[0].cancel()
    assert await readers[1] == fold(WHOLE)
    assert [calls[0][1].cancelled(), readers[0].cancelled()] == [True, True]


async def test_those_who_come_and_go_leave_nothing_behind() -> None:
    """A flight that hangs, and is joined and left again and again, doesn't grow."""
    coalesce, stage = staged()
    _, staying = asked(coalesce, mode=STREAM)
    for committed in (False, True):
        for mode in (STREAM, Mode.UNARY, STREAM):
            _, task = asked(coalesce, mode=mode)
            await settle()
            reading = asyncio.ensure_future(_last(task))
            await settle()
            task.cancel()
            reading.cancel()
            await settle()
        if not committed:
            stage.only.send(OPENING)
            await settle()
    [flight] = coalesce._flights.values()
    assert repr(flight) == "<Flight answered, 1 callers, <Tee, 1 batches, 0 waiting>>"
    assert not flight._waiting
    await (await staying).aclose()


async def _last(task: "asyncio.Task[Reply]") -> None:
    await (await asyncio.shield(task)).message()


async def test_tenants_share_nothing_whatever_their_fingerprints() -> None:
    """A mistake in what is hashed is no way to another tenant's answer."""
    stage = Stage()
    same = Fingerprint(b"same", b"same")
    coalesce = Coalesce(stage, clock=stage.clock, fingerprint_of=lambda _: same)
    calls = [asked(coalesce, tenant=tenant) for tenant in ("acme", "acme", "other")]
    await settle()
    assert [act.call.tenant for act in stage.acts] == ["acme", "other"]
    for _, task in calls:
        task.cancel()
    await settle()
    assert coalesce.flights == 0


async def test_a_bug_comes_out_as_it_is() -> None:
    """What is no condition of ours is raised for all, unchanged."""
    coalesce, stage = staged()
    calls = [asked(coalesce) for _ in range(2)]
    await settle()
    bug = ZeroDivisionError("bug")
    stage.only.fail(bug)
    found = await asyncio.gather(*[task for _, task in calls], return_exceptions=True)
    assert found == [bug, bug]


async def test_the_repr_counts() -> None:
    """An operator who prints the layer sees the flights, and of a flight its callers."""
    coalesce, stage = staged()
    _, task = asked(coalesce, mode=STREAM)
    assert repr(coalesce) == "<Coalesce, 0 in flight>"
    await settle()
    assert repr(coalesce) == "<Coalesce, 1 in flight>"
    [flight] = coalesce._flights.values()
    assert repr(flight) == "<Flight open, 1 callers, <Tee, 0 batches, 0 waiting>>"
    stage.only.send(OPENING, MIDDLE, CLOSING)
    reply = await task
    await anext(reply)
    assert repr(flight).startswith("<Flight answered, 1 callers")
    await reply.aclose()
    assert repr(flight).startswith("<Flight landed, 0 callers")


async def test_nothing_is_kept_of_an_error() -> None:
    """When all have heard it, the flight lets go of it, and of what its traceback holds."""
    coalesce, stage = staged()
    _, task = asked(coalesce)
    await settle()
    [flight] = coalesce._flights.values()
    error = UpstreamUnavailable("down")
    stage.only.fail(error)
    with pytest.raises(UpstreamUnavailable) as raised:
        await task
    assert raised.value is error
    assert flight._error is None
