"""`Hedge`: the first of two attempts to answer wins, and nothing is left of the other."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import pytest

from sidecard.core.call import Call, Mode
from sidecard.core.errors import UpstreamRefused, UpstreamThrottled, UpstreamUnavailable
from sidecard.core.handler import Handler
from sidecard.core.note import Hedged, HedgeEnded
from sidecard.core.outcome import Ending
from sidecard.core.reply import Reply
from tests.support.clock import ManualClock
from tests.support.conformance import LayerConformance
from tests.support.lanes import Hedging, Lanes, handled, hedging, settle
from tests.support.script import Script, a_call

DOWN = UpstreamUnavailable("down")


@pytest.fixture(autouse=True)
async def nobody_complains() -> AsyncIterator[None]:
    """Fail a test after which the loop complains of an error that nobody took."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    gc.freeze()  # Only what the test makes is looked at, which is quick.
    yield
    gc.collect()
    gc.unfreeze()
    await settle()
    assert complaints == []


class TestDisabled(LayerConformance):
    """Off, as it is by default."""

    def layer(self, next_: Handler) -> Handler:
        return Hedging(next_, ManualClock(), enabled=False).layer


class TestUnhedged(LayerConformance):
    """On, and no attempt is late."""

    def layer(self, next_: Handler) -> Handler:
        return Hedging(next_, ManualClock()).layer


class Late:
    """An attempt that is late before the one that the suite looks at is made."""

    def __init__(self, next_: Handler, clock: ManualClock) -> None:
        self._next = next_
        self._clock = clock

    async def __call__(self, call: Call) -> Reply:
        attempt = call.trail.begin(call.target.name, self._clock.now())
        if attempt.number > 1:
            return await self._next(call)
        asyncio.get_running_loop().call_soon(self._clock.advance, 1.0)
        await asyncio.Event().wait()
        raise AssertionError


class TestSecondWins(LayerConformance):
    """On, and the second attempt is what answers."""

    def layer(self, next_: Handler) -> Handler:
        clock = ManualClock()
        return Hedging(Late(next_, clock), clock).layer

    async def test_errors_before_commit_pass(self, mode: Mode) -> None:
        """The second attempt's error isn't the call's while the first still may answer."""
        script = Script(UpstreamRefused("no"))
        task = asyncio.ensure_future(handled(self.layer(script), mode=mode))
        await settle()
        assert len(script.calls) == 1
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


async def test_off_costs_no_task() -> None:
    """Without it a call runs in its caller's task, whatever was learned."""
    hedge, lanes = hedging(enabled=False)
    task = hedge.call()
    await settle()
    assert asyncio.all_tasks() == {task, asyncio.current_task()}
    assert lanes.clock.timers == 0
    lanes.commit(0)
    await (await task).aclose()


@pytest.mark.parametrize(("winner", "word"), [(0, "first"), (1, "second")])
async def test_the_first_to_commit_wins(winner: int, word: str) -> None:
    """The caller gets that answer; the other is gone when it does, and both are in the trail."""
    hedge, lanes = hedging()
    call = a_call()
    task = asyncio.ensure_future(hedge.layer(call))
    await settle()
    lanes.clock.advance(1.0)
    await settle()
    lanes.commit(winner)
    reply = await task
    assert reply.head.upstream_request_id == str(winner)
    assert lanes.cancelled == [1 - winner]
    await reply.message()
    assert lanes.ends[winner] is Ending.COMPLETED
    assert [(a.number, a.error) for a in call.trail if a.usage] == [(2 - winner, "ABANDONED")]
    assert hedge.notes == [Hedged("req-1", "claude-test", 1.0), HedgeEnded("claude-test", word)]
    assert hedge.budget.status(lanes.clock.now())["added"] == 1
    assert (hedge.layer.hedging, lanes.clock.timers) == (0, 0)


async def test_in_time_there_is_one_attempt() -> None:
    """An answer before the delay leaves no timer, and costs no budget."""
    hedge, lanes = hedging()
    task = hedge.call()
    await settle()
    lanes.clock.advance(0.9)
    lanes.commit(0)
    await (await task).message()
    lanes.clock.advance(5.0)
    await settle()
    assert len(lanes.fates) == 1
    assert (hedge.notes, lanes.clock.timers) == ([], 0)
    assert hedge.budget.status(lanes.clock.now())["added"] == 0


async def test_two_that_commit_at_once_are_one_answer() -> None:
    """Of two commits in one turn of the loop one is handed on, and nothing of the other is left."""
    hedge, lanes = hedging()
    task = await hedge.hedged()
    lanes.commit(1)
    lanes.commit(0)
    reply = await task
    assert reply.head.upstream_request_id == "1"
    await reply.message()
    assert lanes.ends == {0: Ending.ABANDONED, 1: Ending.COMPLETED}
    assert [stream.closed for stream in lanes.streams] == [1, 1]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_loser_that_commits_all_the_same_is_closed() -> None:
    """Its reply ends abandoned before the winner is handed on, so that it settles once."""
    lanes = Lanes(stubborn=True)
    hedge = Hedging(lanes, lanes.clock)
    task = await hedge.hedged()
    lanes.commit(1)
    reply = await task
    assert reply.head.upstream_request_id == "1"
    assert lanes.ends[0] is Ending.ABANDONED
    assert 1 not in lanes.ends
    await reply.message()


async def test_a_failure_in_time_passes_at_once() -> None:
    """What fails before it is late is for retries to deal with."""
    hedge, lanes = hedging()
    task = hedge.call()
    await settle()
    lanes.fail(0, DOWN)
    with pytest.raises(UpstreamUnavailable) as raised:
        await task
    assert raised.value is DOWN
    assert lanes.clock.timers == 0


@pytest.mark.parametrize("fails", [0, 1])
async def test_one_that_fails_leaves_the_other(fails: int) -> None:
    """While one of two attempts runs, there is no failure."""
    hedge, lanes = hedging()
    task = await hedge.hedged()
    lanes.fail(fails, DOWN)
    await settle()
    assert not task.done()
    lanes.commit(1 - fails)
    reply = await task
    assert reply.head.upstream_request_id == str(1 - fails)
    await reply.message()
    assert lanes.cancelled == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_when_both_fail_the_first_error_is_raised(order: tuple[int, int]) -> None:
    """It is that of the attempt that was made first, whichever failed first."""
    hedge, lanes = hedging()
    task = await hedge.hedged()
    errors = [UpstreamThrottled("slow down"), UpstreamRefused("odd")]
    for number in order:
        lanes.fail(number, errors[number])
        await settle()
    with pytest.raises(UpstreamThrottled) as raised:
        await task
    assert raised.value is errors[0]
    assert hedge.layer.hedging == 0


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_caller_who_leaves_ends_both(attempts: int, *, twice: bool) -> None:
    """Leaving before or after the second attempt, and impatiently: both are gone by then."""
    hedge, lanes = hedging()
    task = hedge.call() if attempts == 1 else await hedge.hedged()
    await settle()
    task.cancel()
    if twice:
        asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lanes.cancelled == list(range(attempts))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (hedge.layer.hedging, lanes.clock.timers) == (0, 0)


async def test_an_impatient_caller_cuts_no_clearing_up_short() -> None:
    """However often the call is cancelled, its attempts leave in their own time, and it waits."""
    hedge, lanes = hedging()
    task = await hedge.hedged()
    lanes.lets_go.clear()
    for _ in range(3):
        task.cancel()
        await settle()
    assert not task.done()
    assert lanes.cancelled == [0, 1]
    lanes.lets_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_leaving_while_the_loser_clears_up_closes_the_winner() -> None:
    """An answer that was not handed on yet is nobody's, and ends abandoned."""
    hedge, lanes = hedging()
    task = await hedge.hedged()
    lanes.lets_go.clear()
    lanes.commit(1)
    await settle()
    task.cancel()
    lanes.lets_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lanes.ends == {1: Ending.ABANDONED}


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("turns", range(6))
async def test_leaving_while_an_attempt_commits_leaves_nothing(
    turns: int, *, stubborn: bool
) -> None:
    """In whatever turn of the loop after the commit the caller leaves, every reply is closed."""
    lanes = Lanes(stubborn=stubborn)
    hedge = Hedging(lanes, lanes.clock)
    task = await hedge.hedged()
    lanes.commit(1)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await (await task).aclose()
    assert all(stream.closed == 1 for stream in lanes.streams)
    assert set(lanes.ends.values()) <= {Ending.ABANDONED}
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("turns", range(4))
async def test_leaving_while_both_fail_leaves_nothing(turns: int) -> None:
    """In whatever turn after the failures the caller leaves, it hears of one thing."""
    hedge, lanes = hedging()
    task = await hedge.hedged()
    lanes.fail(0, UpstreamThrottled("slow down"))
    lanes.fail(1, UpstreamUnavailable("down"))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises((asyncio.CancelledError, UpstreamThrottled)):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}
    lanes.fates.clear()  # They hold the errors, and those the frames that hold the tasks.


async def test_a_bug_in_an_attempt_is_heard_of_once() -> None:
    """What is no error of ours passes as well, and nobody complains of it after that."""
    hedge, lanes = hedging()
    task = await hedge.hedged()
    lanes.fail(0, ValueError("a bug"))
    lanes.fail(1, ValueError("the same bug"))
    with pytest.raises(ValueError, match="a bug"):
        await task
    task = await hedge.hedged()
    lanes.fail(2, ValueError("a bug"))
    task.cancel()
    with pytest.raises((asyncio.CancelledError, ValueError)):
        await task
    lanes.fates.clear()  # They hold the errors, and those the frames that hold the tasks.
    del task
    gc.collect()


async def test_an_attempt_that_is_cancelled_from_within_ends() -> None:
    """A cancellation that nobody here asked for is passed on, and hangs nobody."""
    hedge, lanes = hedging()
    task = hedge.call()
    await settle()
    lanes.fates[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
