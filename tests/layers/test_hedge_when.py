"""`Hedge`: when a second attempt is made, and when it isn't."""

import asyncio

import pytest

from sidecard.core.call import Mode, Route
from sidecard.policy.latency import ENOUGH, ERROR
from tests.support.lanes import hedging, settle
from tests.support.script import TARGET


async def test_nothing_is_hedged_before_the_usual_time_is_known() -> None:
    """Without a fixed delay it first learns from the answers, for each mode of a route apart."""
    hedge, lanes = hedging(delay_s=None)
    for number in range(ENOUGH):
        task = hedge.call()
        await settle()
        assert lanes.clock.timers == 0
        lanes.clock.advance(0.5)
        lanes.commit(number)
        await (await task).aclose()
    assert set(hedge.times) == {"default unary"}
    task = hedge.call()
    await settle()
    assert lanes.clock.next_timer == pytest.approx(lanes.clock.now() + 0.5, rel=ERROR)
    task.cancel()
    task = hedge.call(mode=Mode.STREAM)
    await settle()
    assert lanes.clock.timers == 0
    lanes.commit(ENOUGH + 1)
    await (await task).aclose()


async def test_a_rescued_call_counts_as_slow() -> None:
    """What is learned counts from the first attempt on, or hedging would make it look shorter."""
    hedge, lanes = hedging()
    for number in range(ENOUGH):
        task = await hedge.hedged(request_id=str(number))
        lanes.clock.advance(0.5)
        lanes.commit(2 * number + 1)
        await (await task).aclose()
        lanes.clock.advance(3.0)
    assert hedge.times["default unary"].quantile(0.0) == pytest.approx(1.5, rel=ERROR)


async def test_no_second_attempt_while_the_first_waits_its_turn_here() -> None:
    """It would wait behind it; the delay counts from the moment that the first is sent."""
    hedge, lanes = hedging()
    lanes.queued = True
    task = hedge.call()
    await settle()
    lanes.clock.advance(10.0)
    await settle()
    assert len(lanes.fates) == 1
    assert lanes.clock.timers == 1
    task.cancel()
    await asyncio.wait([task])
    assert lanes.clock.timers == 0


async def test_a_long_answer_that_has_begun_is_no_late_one() -> None:
    """A unary call whose first content came in time isn't hedged, however long the rest takes."""
    hedge, lanes = hedging()
    task = hedge.call()
    await settle()
    lanes.attempts[0].first_event_s = 0.2
    lanes.clock.advance(30.0)
    await settle()
    assert len(lanes.fates) == 1
    lanes.commit(0)
    await (await task).aclose()


async def test_no_second_attempt_in_the_moment_of_the_answer() -> None:
    """An answer that comes in the very turn of the loop in which it would be late is in time."""
    hedge, lanes = hedging()
    task = hedge.call()
    await settle()
    lanes.commit(0)
    await asyncio.sleep(0)
    assert not task.done()
    lanes.clock.advance(1.0)
    await (await task).aclose()
    assert len(lanes.fates) == 1
    assert hedge.budget.status(lanes.clock.now())["added"] == 0


async def test_an_empty_budget_allows_no_second_attempt() -> None:
    """Hedges draw on the same budget as retries."""
    hedge, lanes = hedging()
    while hedge.budget.withdraw(lanes.clock.now()):
        pass
    task = hedge.call()
    await settle()
    lanes.clock.advance(2.0)
    await settle()
    assert (len(lanes.fates), hedge.notes) == (1, [])
    lanes.commit(0)
    await (await task).aclose()


@pytest.mark.parametrize(("max_attempts", "fates"), [(1, 1), (2, 2)])
async def test_the_calls_cap_counts_second_attempts(max_attempts: int, fates: int) -> None:
    """A call that may make one attempt more makes that one alone."""
    hedge, lanes = hedging()
    task = hedge.call(route=Route("default", (TARGET,), 1024, max_attempts=max_attempts))
    await settle()
    lanes.clock.advance(2.0)
    await settle()
    assert len(lanes.fates) == fates
    lanes.commit(0)
    await (await task).aclose()


@pytest.mark.parametrize(("usual_s", "fates"), [(3.0, 2), (5.0, 1)])
async def test_no_second_attempt_that_the_deadline_cant_fit(usual_s: float, fates: int) -> None:
    """With less time left than answers usually take, it would be paid for in vain."""
    hedge, lanes = hedging()
    hedge.learn("default unary", usual_s)
    task = hedge.call(deadline=1_005.0)
    await settle()
    lanes.clock.advance(1.0)
    await settle()
    assert len(lanes.fates) == fates
    lanes.commit(0)
    await (await task).aclose()
