"""`RateLimit`: who waits for a target, who is refused, and who leaves."""

import asyncio

import pytest

from sidecard.core.call import Call, Priority, Target
from sidecard.core.errors import (
    DeadlineExceeded,
    RateLimited,
    UpstreamError,
    UpstreamThrottled,
)
from sidecard.core.handler import Handler
from sidecard.core.note import GateClosed, Note, Shed, TurnCame
from sidecard.core.rate_limits import Allowance, RateLimits
from sidecard.core.reply import Reply
from sidecard.layers.rate_limit import RateLimit
from sidecard.policy.gate import Gate, LimitsPolicy
from tests.support.clock import ManualClock
from tests.support.conformance import LayerConformance
from tests.support.limited import Bench, drop, scripted, settle, throttled, waiting_three
from tests.support.script import TARGET, WHOLE, Hang, Script, a_call


class TestUnlimited(LayerConformance):
    """With no limit the layer is a pass-through."""

    def layer(self, next_: Handler) -> Handler:
        return Bench(next_).layer


class TestLimited(LayerConformance):
    """So it is with all three limits, as long as there is room."""

    def layer(self, next_: Handler) -> Handler:
        return Bench(
            next_,
            requests_per_minute=100,
            input_tokens_per_minute=10_000,
            output_tokens_per_minute=10_000,
        ).layer


# --- Waiting ---------------------------------------------------------------------------------


async def test_who_has_no_room_waits_for_it() -> None:
    """The second of two goes when the first one's request has leaked."""
    bench, script = scripted(WHOLE, WHOLE, requests_per_minute=1, max_wait_s=60)
    first, second = bench.start(), bench.start()
    await bench.turn(59)
    assert len(script.calls) == 1
    await bench.turn(1)
    assert len(script.calls) == 2
    await drop(first, second)
    assert bench.clock.timers == 0


async def test_calls_go_in_their_order() -> None:
    """A large request that waits is passed by no small one behind it."""
    bench, script = scripted(*[WHOLE] * 4, input_tokens_per_minute=1_000, max_wait_s=100)
    message = {"role": "user", "content": "x" * 2_000}
    tasks = [bench.start(request_id="a", messages=(message,))]
    await bench.turn()
    tasks += [bench.start(request_id="b", messages=(message,))]
    await bench.turn()
    tasks += [bench.start(request_id=name) for name in "cd"]
    await bench.turn(20)
    assert [call.request_id for call in script.calls] == ["a"]
    await bench.turn(50)
    assert [call.request_id for call in script.calls] == ["a", "b", "c", "d"]
    await drop(*tasks)


async def test_who_floods_waits_behind_itself() -> None:
    """Another tenant's call goes next but one, and batch calls when nobody else waits."""
    bench, script = scripted(*[WHOLE] * 8, requests_per_minute=6, max_wait_s=100)
    bench.gate.take(bench.gate.need(a_call())._replace(requests=6), bench.clock.now())
    tasks = [bench.start(request_id="batch", tenant="b", priority=Priority.BATCH)]
    await bench.turn()
    tasks += [bench.start(request_id=f"flood-{number}", tenant="flood") for number in range(5)]
    await bench.turn()
    tasks += [bench.start(request_id="other", tenant="other")]
    for _ in range(7):
        await bench.turn(10)
    assert [call.request_id for call in script.calls] == [
        "flood-0", "other", "flood-1", "flood-2", "flood-3", "flood-4", "batch",
    ]  # fmt: skip
    await drop(*tasks)


async def test_a_flood_refuses_no_other_tenant() -> None:
    """A line as long as anybody may wait is its own tenant's, and that gives way."""
    bench, script = scripted(*[WHOLE] * 8, requests_per_minute=6, max_wait_s=25)
    bench.gate.take(bench.gate.need(a_call())._replace(requests=6), bench.clock.now())
    first = bench.start(request_id="first", tenant="flood")
    await bench.turn()
    second = bench.start(request_id="second", tenant="flood")
    await bench.turn()
    with pytest.raises(RateLimited):
        await bench.layer(a_call(tenant="flood"))
    other = bench.start(request_id="other", tenant="other")
    await bench.turn(20)
    assert [call.request_id for call in script.calls] == ["first", "other"]
    await bench.turn(5)
    with pytest.raises(RateLimited):
        await second
    await drop(first, other)


async def test_nobody_is_held_up_at_another_target() -> None:
    """Each target has a line and a gate of its own."""
    script = Script(WHOLE, WHOLE)
    gates = {"a": Gate(LimitsPolicy(1)), "b": Gate(LimitsPolicy(1))}
    clock = ManualClock()
    layer = RateLimit(script, gate_of=gates.__getitem__, notes=lambda _: None, clock=clock)
    await (await layer(a_call(target=Target("a")))).aclose()
    await (await layer(a_call(target=Target("b")))).aclose()
    with pytest.raises(RateLimited):
        await layer(a_call(target=Target("a")))


# --- Refusing --------------------------------------------------------------------------------


async def test_a_wait_longer_than_allowed_is_refused_at_once() -> None:
    """The error says when to come again, where, and why; nothing waits or was sent."""
    bench, script = scripted(WHOLE, requests_per_minute=1, max_wait_s=10)
    await drop(bench.start())
    with pytest.raises(RateLimited, match="limit of requests per minute") as raised:
        await bench.layer(a_call(request_id="r", tenant="t"))
    assert raised.value.retry_after_s == pytest.approx(60)
    assert raised.value.target == TARGET.name
    assert raised.value.moves_on
    assert len(script.calls) == 1
    assert bench.clock.timers == 0
    why = "the limit of requests per minute"
    assert bench.notes == [Shed("r", "t", "default", "rate_limit", why)]


async def test_a_wait_that_the_deadline_cannot_afford_is_refused_at_once() -> None:
    """Also when it is shorter than is allowed."""
    bench, _ = scripted(WHOLE, WHOLE, requests_per_minute=12, max_wait_s=10)
    bench.gate.take(bench.gate.need(a_call())._replace(requests=12), bench.clock.now())
    with pytest.raises(RateLimited):
        await bench.layer(a_call(deadline=bench.clock.now() + 4.9))
    patient = bench.start(deadline=bench.clock.now() + 5.1)
    await bench.turn(5)
    await drop(patient)


async def test_the_needs_of_those_ahead_count() -> None:
    """Who would have to wait for others, too, is refused for the sum."""
    bench, script = scripted(*[WHOLE] * 3, requests_per_minute=12, max_wait_s=10)
    bench.gate.take(bench.gate.need(a_call())._replace(requests=12), bench.clock.now())
    tasks = [bench.start(), bench.start()]
    await bench.turn()
    with pytest.raises(RateLimited) as raised:
        await bench.layer(a_call())
    assert raised.value.retry_after_s == pytest.approx(15)
    await bench.turn(10)
    assert len(script.calls) == 2
    await drop(*tasks)


async def test_nobody_waits_longer_than_allowed() -> None:
    """Who was promised a turn that others' use made later is refused when the time is over."""
    bench, script = scripted(WHOLE, requests_per_minute=60, max_wait_s=10)
    bench.gate.take(bench.gate.need(a_call())._replace(requests=65), bench.clock.now())
    task = bench.start()
    await bench.turn(1)
    bench.gate.heard(None, RateLimits(requests=Allowance(60, 0)), bench.clock.now())
    bench.gate.take(bench.gate.need(a_call())._replace(requests=30), bench.clock.now())
    await bench.turn(8.9)
    assert not task.done()
    await bench.turn(0.1)
    with pytest.raises(RateLimited):
        await task
    assert script.calls == []
    assert bench.clock.timers == 0


# --- 429 -------------------------------------------------------------------------------------


async def test_a_429_closes_for_everybody() -> None:
    """Who waits and can't wait so long is refused at once, and who comes after too."""
    answer = asyncio.Event()

    async def upstream(_: Call) -> Reply:
        await answer.wait()
        raise throttled(30)

    bench = Bench(upstream, requests_per_minute=60, max_wait_s=10)
    fails, *waiting = await waiting_three(bench)
    await bench.turn(1)
    assert bench.in_flight == 2
    answer.set()
    await settle()
    with pytest.raises(UpstreamThrottled):
        await fails
    for task in waiting:
        assert task.done()
        with pytest.raises(RateLimited, match="retry-after") as raised:
            await task
        assert raised.value.retry_after_s == pytest.approx(30)
    with pytest.raises(RateLimited):
        await bench.layer(a_call())
    assert bench.notes[:2] == [TurnCame(TARGET.name, 1), GateClosed(TARGET.name, 30)]
    assert bench.clock.timers == 0


async def test_those_who_can_wait_follow_the_first_who_is_answered() -> None:
    """After a short 429 one tries; as soon as it has an answer, the others go too."""
    slow = asyncio.Event()
    seen: list[str] = []

    async def upstream(call: Call) -> Reply:
        seen.append(call.request_id)
        if len(seen) == 1:
            raise throttled(5)
        await slow.wait()
        return await Script(WHOLE)(call)

    bench = Bench(upstream, max_wait_s=10)
    with pytest.raises(UpstreamThrottled):
        await bench.layer(a_call(request_id="throttled"))
    tasks = [bench.start(request_id=f"{number}") for number in range(4)]
    await bench.turn(5)
    assert seen == ["throttled", "0"]
    await bench.turn(0.5)
    slow.set()
    await settle()
    assert seen == ["throttled", "0", "1", "2", "3"]
    await drop(*tasks)
    assert bench.clock.timers == 0


async def test_one_odd_header_closes_for_a_minute_at_most() -> None:
    """A 429 that says a day is noted as what it is taken for; without a word it closes nothing."""
    bench, _ = scripted(throttled(None), throttled(86_400), WHOLE)
    with pytest.raises(UpstreamThrottled):
        await bench.layer(a_call())
    with pytest.raises(UpstreamThrottled):
        await bench.layer(a_call())
    assert bench.notes == [GateClosed(TARGET.name, 60)]
    await bench.turn(60)
    await drop(bench.start())


# --- Leaving ---------------------------------------------------------------------------------


@pytest.mark.parametrize("leaver", ["a", "b"], ids=["the first", "one in the middle"])
async def test_who_leaves_is_skipped(leaver: str) -> None:
    """The others move up, whether it was the first of them or not."""
    bench, script = scripted(WHOLE, WHOLE, requests_per_minute=60)
    tasks = await waiting_three(bench)
    left = tasks.pop("abc".index(leaver))
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    await bench.turn(2)
    assert [call.request_id for call in script.calls] == [name for name in "abc" if name != leaver]
    await drop(*tasks)
    assert bench.clock.timers == 0


async def test_who_leaves_in_the_moment_of_the_turn_gives_back() -> None:
    """Cancelled before the turn is heard of, nothing is sent and nothing stays taken."""
    bench, script = scripted(WHOLE, requests_per_minute=60)
    first, second, third = await waiting_three(bench)
    bench.clock.advance(1)
    first.cancel()
    second.cancel()
    bench.clock.advance(1)
    await settle()
    assert first.cancelled()
    assert second.cancelled()
    assert [call.request_id for call in script.calls] == ["c"]
    await drop(third)
    assert bench.in_flight == 1, "the one that the test took"


async def test_leaving_after_sending_keeps_what_may_be_used() -> None:
    """A call that is cancelled under way has cost its request."""
    bench, _ = scripted(Hang(), requests_per_minute=60)
    task = bench.start()
    await bench.turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.room() == 59
    assert bench.in_flight == 0


async def test_all_who_leave_leave_nothing() -> None:
    """When everybody who waited is gone, no timer and no line is left."""
    bench, _ = scripted(requests_per_minute=60)
    tasks = await waiting_three(bench)
    assert "3" in repr(bench.layer)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert bench.clock.timers == 0
    assert repr(bench.layer) == "<RateLimit, waiting none>"


async def test_what_is_unlimited_is_not_looked_at() -> None:
    """Without limits neither the clock nor the question is touched."""

    class NoClock(ManualClock):
        def now(self) -> float:
            raise AssertionError

    def unused(_: Note) -> None:
        raise AssertionError

    gate = Gate(LimitsPolicy())
    layer = RateLimit(Script(WHOLE), gate_of=lambda _: gate, notes=unused, clock=NoClock())
    await (await layer(a_call(messages=()))).aclose()


async def test_an_upstream_error_that_is_no_429_opens_what_was_closed() -> None:
    """After a 429 any answer with a status shows that calls are taken again."""
    broken = UpstreamError("500")
    broken.status = 500
    bench, _ = scripted(throttled(5), broken, WHOLE)
    with pytest.raises(UpstreamThrottled):
        await bench.layer(a_call())
    await bench.turn(5)
    with pytest.raises(UpstreamError):
        await bench.layer(a_call())
    assert bench.gate.unlimited
    await drop(bench.start())


async def test_nothing_is_sent_at_the_deadline() -> None:
    """A turn that comes at the very moment is too late: nothing is sent, nothing stays reserved."""
    bench = Bench(Script(WHOLE, WHOLE), requests_per_minute=6)
    for _ in range(6):
        bench.gate.take(bench.gate.need(a_call()), bench.clock.now())
    task = bench.start(deadline=bench.clock.now() + 10)
    await bench.turn(10)
    with pytest.raises(DeadlineExceeded, match="waited for its turn"):
        await task
    assert (bench.in_flight, bench.room()) == (6, 1)
