"""`Admit` and callers who leave while they wait: at any moment, and no permit is lost."""

import asyncio

import pytest

from sidecard.core.call import Priority
from sidecard.core.errors import Overloaded
from sidecard.core.reply import Reply
from sidecard.policy.admission import AdmissionPolicy
from tests.support.admitting import Subject, passes
from tests.support.script import WHOLE, Script, a_call


@pytest.mark.parametrize("leaves_after", range(8))
@pytest.mark.parametrize("permit_after", range(8))
async def test_cancelling_at_any_moment_loses_no_permit(
    leaves_after: int, permit_after: int
) -> None:
    """A caller leaves before, in the same pass as, or after the permit comes; others are served."""
    subject = Subject(Script(*[WHOLE] * 4))
    first = await subject.calls()
    leaver = subject.calls(deadline=1_100.0)
    others = [subject.calls(deadline=1_200.0), subject.calls(deadline=1_300.0)]
    for step in range(10):
        if step == permit_after:
            await first.aclose()
        if step == leaves_after:
            leaver.cancel()
        await asyncio.sleep(0)
    [left] = await asyncio.gather(leaver, return_exceptions=True)
    if isinstance(left, Reply):
        await left.aclose()
    for other in others:
        await (await asyncio.wait_for(other, 1)).message()
    subject.assert_idle()


async def test_a_permit_and_a_cancellation_in_one_pass_go_on_to_the_next() -> None:
    """In either order of the two."""
    for permit_first in (True, False):
        script = Script(WHOLE, WHOLE)
        subject = Subject(script)
        first = await subject.calls()
        leaver, other = subject.calls(deadline=1_100.0), subject.calls()
        await passes(2)
        if permit_first:
            await first.aclose()
        leaver.cancel()
        if not permit_first:
            await first.aclose()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        await (await asyncio.wait_for(other, 1)).message()
        assert len(script.calls) == 2
        subject.assert_idle()


async def test_being_displaced_and_cancelled_in_one_pass_is_leaving() -> None:
    """In either order of the two: nothing is noted of a call that left."""
    for displaced_first in (True, False):
        subject = Subject(Script(WHOLE, WHOLE), shared=AdmissionPolicy(1, 2))
        first = await subject.calls(tenant="a")
        waiters = [subject.calls(tenant="a", deadline=1_100.0 + n) for n in range(2)]
        await passes(1)
        comes = subject.calls(tenant="b")
        if displaced_first:
            await passes(1)
        waiters[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[1]
        waiters[0].cancel()
        await asyncio.gather(waiters[0], return_exceptions=True)
        await first.aclose()
        await (await comes).aclose()
        subject.assert_idle()


async def test_two_thousand_calls_leave_nothing_behind() -> None:
    """Of both priorities and many tenants, some of whom leave: all end, and all is given back."""
    script = Script(*[WHOLE] * 2000)
    subject = Subject(script, shared=AdmissionPolicy(in_flight=20, queue=1500))

    async def one(number: int) -> None:
        priority = Priority.BATCH if number % 3 else Priority.INTERACTIVE
        reply = await subject.layer(a_call(tenant=f"t{number % 50}", priority=priority))
        if number % 5:
            await reply.message()
        else:
            await reply.aclose()

    tasks = [asyncio.ensure_future(one(number)) for number in range(2000)]
    await passes(3)
    for task in tasks[::7]:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {type(None), Overloaded, asyncio.CancelledError}
    assert sum(end is None for end in ends) >= 1000
    subject.assert_idle()
