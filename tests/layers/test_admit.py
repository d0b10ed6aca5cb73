"""`Admit`: a permit for each call, to the end of its reply, and not a moment longer."""

import asyncio
from dataclasses import replace

import pytest

from sidecard.core.call import Call
from sidecard.core.errors import DeadlineExceeded, Overloaded, UpstreamRefused
from sidecard.core.handler import Handler
from sidecard.core.note import Shed
from sidecard.core.reply import Head, Reply, Source
from sidecard.policy.admission import AdmissionPolicy
from tests.support.admitting import Subject, passes
from tests.support.conformance import LayerConformance
from tests.support.script import OPENING, ROUTE, WHOLE, Hang, Script, ScriptedStream, a_call


class TestAdmit(LayerConformance):
    """With permits free the layer is a pass-through."""

    def layer(self, next_: Handler) -> Handler:
        return Subject(next_).layer


class TestAdmitAfterWaiting(LayerConformance):
    """A call that had to wait for its permit is treated as well as any."""

    def layer(self, next_: Handler) -> Handler:
        return _Waits(next_)


class _Waits:
    """Has the only permit come back a moment after each call came."""

    def __init__(self, next_: Handler) -> None:
        self._next = next_
        self._subject = Subject(self._inner)

    async def _inner(self, call: Call) -> Reply:
        if call.request_id != "first":
            return await self._next(call)
        return Reply(Head(Source.UPSTREAM, "x"), ScriptedStream(WHOLE), self._subject.clock)

    async def __call__(self, call: Call) -> Reply:
        first = await self._subject.layer(a_call(request_id="first"))
        closing = asyncio.ensure_future(first.aclose())
        try:
            return await self._subject.layer(call)
        finally:
            await closing


@pytest.mark.parametrize("ending", ["read", "left", "broken", "failed", "cancelled"])
async def test_the_permit_is_held_to_the_end(ending: str) -> None:
    """However a call ends, its permit is back then, and not before."""
    scripts = {
        "failed": Script(UpstreamRefused("no")),
        "cancelled": Script(Hang()),
        "broken": Script([OPENING]),
    }
    subject = Subject(scripts.get(ending, Script(WHOLE)))
    task = subject.calls()
    await asyncio.sleep(0)
    assert subject.shared.in_flight == 1
    if ending == "cancelled":
        task.cancel()
    [reply] = await asyncio.gather(task, return_exceptions=True)
    if isinstance(reply, Reply):
        assert subject.shared.in_flight == 1
        if ending == "left":
            await reply.aclose()
        else:
            await asyncio.gather(reply.message(), return_exceptions=True)
    subject.assert_idle()


async def test_a_call_waits_for_another_to_end() -> None:
    """It isn't sent before, is sent then, and its trail says how long it waited."""
    script = Script(WHOLE, WHOLE)
    subject = Subject(script)
    first = await subject.calls()
    waiting = a_call(request_id="waits")
    task = asyncio.ensure_future(subject.layer(waiting))
    await passes(5)
    assert len(script.calls) == 1
    subject.clock.advance(3)
    await first.message()
    await (await task).message()
    assert script.calls == [a_call(), waiting]
    assert (waiting.trail.queued_s, script.calls[0].trail.queued_s) == (3, 0)
    assert subject.notes == []
    subject.assert_idle()


async def test_a_failure_lets_the_next_one_in() -> None:
    """A call that fails before anything was shown gives its permit to who waits."""
    subject = Subject(Script(UpstreamRefused("no"), WHOLE))
    first, second = subject.calls(), subject.calls()
    with pytest.raises(UpstreamRefused):
        await first
    await (await second).message()
    subject.assert_idle()


async def test_a_flood_of_one_tenant_doesnt_lock_out_another() -> None:
    """With 1,000 calls of one tenant waiting, another's single call is the next."""
    script = Script(*[WHOLE] * 2)
    subject = Subject(script, shared=AdmissionPolicy(in_flight=1, queue=1000))
    first = await subject.calls(tenant="a")
    flood = [subject.calls(tenant="a") for _ in range(1000)]
    await passes(1)
    single = subject.calls(tenant="b")
    await passes(1)
    await first.message()
    await (await single).aclose()
    assert [call.tenant for call in script.calls[:2]] == ["a", "b"]
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    subject.assert_idle()


async def test_a_route_with_a_policy_has_places_of_its_own() -> None:
    """A full bulkhead refuses its own calls alone, and so does the shared one."""
    subject = Subject(
        Script(*[WHOLE] * 3), shared=AdmissionPolicy(1, 0), slow=AdmissionPolicy(1, 0)
    )
    routes = [replace(ROUTE, name=name) for name in ("slow", "default", "slow", "other")]
    tasks = [subject.calls(route=route) for route in routes]
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [Reply, Reply, Overloaded, Overloaded]
    for end in ends:
        if isinstance(end, Reply):
            await end.aclose()
    subject.assert_idle()


async def test_a_full_queue_refuses_with_a_time_and_a_note() -> None:
    """The caller hears when to come again, the operator who was refused and why."""
    subject = Subject(Script(WHOLE), shared=AdmissionPolicy(1, 0))
    reply = await subject.calls()
    with pytest.raises(Overloaded) as raised:
        await subject.calls(request_id="req-2")
    assert raised.value.retry_after_s == 1.0
    assert subject.notes == [Shed("req-2", "default", "default", "admit", "queue")]
    await reply.aclose()


async def test_a_displaced_call_is_told_at_once() -> None:
    """It raises `Overloaded` though it had been let in to wait, and says how long it did."""
    subject = Subject(Script(WHOLE, WHOLE), shared=AdmissionPolicy(1, 2))
    first = await subject.calls(tenant="a")
    stays = subject.calls(tenant="a", deadline=1_100.0)
    displaced = a_call(tenant="a", request_id="goes", deadline=1_200.0)
    goes = asyncio.ensure_future(subject.layer(displaced))
    await passes(1)
    subject.clock.advance(2)
    comes = subject.calls(tenant="b")
    with pytest.raises(Overloaded, match="its place went to"):
        await goes
    assert displaced.trail.queued_s == 2
    assert subject.notes == [Shed("goes", "a", "default", "admit", "displaced")]
    await first.aclose()
    await (await comes).aclose()
    stays.cancel()
    await asyncio.gather(stays, return_exceptions=True)
    subject.assert_idle()


async def test_a_deadline_that_has_passed_is_told_as_that() -> None:
    """On arrival, and when the permit came too late; then the next one gets it."""
    script = Script(WHOLE, WHOLE)
    subject = Subject(script)
    with pytest.raises(DeadlineExceeded):
        await subject.calls(deadline=subject.clock.now())
    first = await subject.calls()
    late, after = subject.calls(deadline=1_005.0), subject.calls()
    await passes(1)
    subject.clock.advance(5)
    await first.aclose()
    with pytest.raises(DeadlineExceeded):
        await late
    await (await after).aclose()
    assert len(script.calls) == 2
    subject.assert_idle()


async def test_the_repr_tells_of_each_bulkhead() -> None:
    """An operator who prints the layer sees who runs and who waits, and where."""
    subject = Subject(Script(WHOLE), slow=AdmissionPolicy(3))
    reply = await subject.calls()
    counts = "waiting 0 interactive and 0 batch, 0 refused>"
    shared, slow = (
        f"<Admission 1 of 1 in flight, {counts}",
        f"<Admission 0 of 3 in flight, {counts}",
    )
    assert repr(subject.layer) == f"<Admit, shared {shared}, slow {slow}>"
    await reply.aclose()
