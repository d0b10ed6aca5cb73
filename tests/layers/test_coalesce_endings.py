"""`Coalesce`: rare endings, and that nothing is left of them."""

import asyncio

import pytest

from sidecard.core.call import Call, Mode
from sidecard.core.errors import UpstreamUnavailable
from sidecard.core.fold import fold
from sidecard.core.reply import Reply
from sidecard.layers.coalesce import Coalesce
from sidecard.policy.fingerprint import Fingerprint
from tests.support.script import CLOSING, MIDDLE, OPENING, USAGE, WHOLE
from tests.support.stage import Act, Stage, asked, settle, staged, told

STREAM = Mode.STREAM


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


async def test_a_flight_holds_one_copy_of_its_answer() -> None:
    """However many share it: all streams have the very batches that came, all others one fold."""
    coalesce, stage = staged()
    calls = [asked(coalesce, mode=mode) for mode in (STREAM, STREAM, Mode.UNARY, Mode.UNARY)]
    await settle()
    stage.only.send(*WHOLE)
    first, second, *folded = [await task for _, task in calls]
    for reply in (first, second):
        read = [batch async for batch in reply]
        assert [id(batch) for batch in read] == [id(batch) for batch in WHOLE]
    one, other = [await reply.message() for reply in folded]
    assert one is other
    assert one == fold(WHOLE)


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


async def test_who_is_cancelled_twice_is_told_what_was_tried() -> None:
    """A second cancellation, while the flight ends, takes nothing of that from the trail."""
    coalesce, stage = staged()
    call, task = asked(coalesce)
    await settle()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (stage.only.cancelled, call.trail.sent, coalesce.flights) == (True, 1, 0)
