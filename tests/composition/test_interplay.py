"""What shows only where layers meet: whose refusal is whose failure, and who waits for whom."""

import asyncio
from typing import Any

import pytest

from sidecard.core.call import Call, FallbackPolicy, Mode, Route, Target
from sidecard.core.errors import (
    BreakerOpen,
    RateLimited,
    SidecardError,
    UpstreamInterrupted,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.fold import fold
from sidecard.core.message import Message
from sidecard.core.note import GateClosed, HedgeEnded, Retrying
from sidecard.core.outcome import Ending
from sidecard.core.reply import Reply
from sidecard.layers.admit import Admit
from sidecard.policy.breaker import State
from tests.composition.layers import (
    HEDGE_S,
    STACK,
    Made,
    Maker,
    Parts,
    Sent,
    admit,
    fallback,
    guard,
    hedge,
    rate_limit,
    rescue,
    retry,
    stacked,
)
from tests.support.script import MIDDLE, OPENING, WHOLE, Hang, Script, a_call

A, B = Target("claude-a"), Target("claude-b")
ROUTE = Route("default", (A, B), 1024)


def down() -> UpstreamUnavailable:
    return UpstreamUnavailable("down", target="claude-a")


class Bench:
    """A script behind some layers."""

    def __init__(self, script: Script, *makers: Maker, **policy: object) -> None:
        self.script = script
        self.clock = script.clock
        self.parts = Parts(script.clock, **policy)
        sent = Sent(script, script.clock)
        made: Made = stacked(sent, self.parts, *makers)
        self.layer = made.layer
        self.held = made.held

    async def run(self, **changes: object) -> Reply:
        """Make a call, turning the clock until it has ended."""
        task = asyncio.ensure_future(self.layer(a_call(route=ROUTE, target=A, **changes)))
        for _ in range(40):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if task.done():
                break
            self.clock.advance(0.5)
        return await task

    def asked(self) -> list[str]:
        return [call.target.name for call in self.script.calls]


async def test_an_open_breaker_ends_retries_and_the_next_target_answers() -> None:
    """No backoff is spent on a target that is left alone; it is on the trail as skipped."""
    bench = Bench(Script(down(), down(), WHOLE, WHOLE), fallback, retry, guard)
    await (await bench.run()).message()
    assert bench.asked() == ["claude-a", "claude-a", "claude-b"]
    assert bench.parts.breakers("claude-a").state is State.OPEN
    call = a_call(route=ROUTE, target=A)
    reply = await bench.layer(call)
    assert bench.asked()[3:] == ["claude-b"]
    assert [(tried.error, tried.sent) for tried in call.trail] == [
        ("BREAKER_OPEN", False),
        ("", True),
    ]
    await reply.aclose()


async def test_each_attempt_is_seen_by_the_breaker() -> None:
    """A call whose retry was answered is a failure and a success there."""
    bench = Bench(Script(down(), WHOLE), retry, guard, minimum_calls=10)
    await (await bench.run()).message()
    told = bench.parts.breakers("claude-a").status(bench.clock.now())
    assert (told["calls"], told["failure_rate"]) == (2, 0.5)


async def test_our_own_limit_is_no_failure_of_the_target() -> None:
    """A call that the gate refuses tells the breaker nothing, and isn't tried again."""
    bench = Bench(Script(WHOLE), retry, guard, rate_limit)
    gate = bench.parts.gates("claude-a")
    gate.close(50.0, bench.clock.now())
    with pytest.raises(RateLimited):
        await bench.layer(a_call(route=ROUTE, target=A))
    told = bench.parts.breakers("claude-a").status(bench.clock.now())
    assert (told["calls"], bench.asked(), bench.parts.notes[1:]) == (0, [], [])


async def test_a_retry_waits_for_the_gate_that_its_429_closed() -> None:
    """The retry-after is waited for once, and then the call is let through."""
    bench = Bench(Script(UpstreamThrottled("429", retry_after_s=3.0), WHOLE), retry, rate_limit)
    began = bench.clock.now()
    await (await bench.run()).message()
    assert 3.0 <= bench.clock.now() - began <= 6.0
    assert [type(note) for note in bench.parts.notes] == [GateClosed, Retrying]


async def test_a_429_holds_back_those_who_come_after() -> None:
    """While one call waits to try again, another one isn't sent to be refused."""
    bench = Bench(
        Script(UpstreamThrottled("429", retry_after_s=3.0), WHOLE, WHOLE), retry, rate_limit
    )
    first = asyncio.ensure_future(bench.layer(a_call(route=ROUTE, target=A)))
    for _ in range(5):
        await asyncio.sleep(0)
    second = asyncio.ensure_future(bench.layer(a_call(route=ROUTE, target=A)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(bench.asked()) == 1
    for _ in range(20):
        bench.clock.advance(0.5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    for reply in (await first, await second):
        await reply.message()
    assert (len(bench.asked()), bench.held()) == (3, 0)


async def test_the_loser_of_a_hedge_gives_everything_back() -> None:
    """Its breaker permit and its reservation; only the winner's success counts."""
    bench = Bench(Script(Hang(), WHOLE), hedge, guard, rate_limit, minimum_calls=10)
    reply = await bench.run()
    await reply.message()
    assert bench.parts.notes[-1] == HedgeEnded("claude-a", "second")
    told = bench.parts.breakers("claude-a").status(bench.clock.now())
    assert (told["calls"], told["failure_rate"], bench.held()) == (1, 0.0, 0)


async def test_retries_and_hedges_draw_on_one_budget() -> None:
    """What hedges have used up is not there for retries."""
    bench = Bench(Script(*[down() for _ in range(3)]), retry, hedge, minimum_calls=10)
    while bench.parts.budget.withdraw(bench.clock.now()):
        pass
    with pytest.raises(UpstreamUnavailable):
        await bench.run()
    assert len(bench.asked()) == 1
    hanging = Bench(Script(Hang(), WHOLE), retry, hedge)
    while hanging.parts.budget.withdraw(hanging.clock.now()):
        pass
    task = asyncio.ensure_future(hanging.layer(a_call(route=ROUTE, target=A)))
    await asyncio.sleep(0)
    hanging.clock.advance(HEDGE_S)
    await asyncio.sleep(0)
    assert len(hanging.asked()) == 1
    task.cancel()
    await asyncio.wait([task])


async def test_one_permit_covers_all_that_is_done_for_a_call() -> None:
    """Retries, targets and a rescue happen under it, and it is back at the reply's end."""
    broken = [OPENING, MIDDLE, UpstreamInterrupted("broke")]
    acts = (down(), down(), broken, WHOLE)
    bench = Bench(Script(*acts), admit, rescue, fallback, retry, guard)  # type: ignore[arg-type]
    policy = FallbackPolicy(continue_stream=True)
    reply = await bench.run(mode=Mode.STREAM, fallback=policy)
    assert isinstance(bench.layer, Admit)
    places = bench.layer.bulkheads()[""]
    counts = [places.in_flight async for _ in reply]
    assert (set(counts[:-1]), counts[-1], bench.held()) == ({1}, 0, 0)
    assert bench.asked() == ["claude-a", "claude-a", "claude-b", "claude-b"]


async def test_a_probe_that_is_cancelled_in_the_line_gives_its_slot_back() -> None:
    """The next call may probe a target whose prober left while it waited at the gate."""
    bench = Bench(Script(down(), down(), WHOLE), guard, rate_limit)
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            await bench.layer(a_call(route=ROUTE, target=A))
    bench.clock.advance(20)
    bench.parts.gates("claude-a").close(5.0, bench.clock.now())
    task = asyncio.ensure_future(bench.layer(a_call(route=ROUTE, target=A)))
    await asyncio.sleep(0)
    assert bench.parts.breakers("claude-a").state is State.HALF_OPEN
    with pytest.raises(BreakerOpen):
        await bench.layer(a_call(route=ROUTE, target=A))
    task.cancel()
    await asyncio.wait([task])
    bench.clock.advance(6.0)
    await (await bench.layer(a_call(route=ROUTE, target=A))).message()
    assert bench.parts.breakers("claude-a").state is State.CLOSED


@pytest.mark.parametrize("cap", [1, 2, 3, 4])
@pytest.mark.parametrize("what", ["fails", "hangs", "fails, then hangs", "breaks"])
async def test_the_cap_on_attempts_holds_over_all_layers(what: str, cap: int) -> None:
    """So many attempts are so many, whoever wants one more: retry, target, hedge or rescue."""
    acts: dict[str, tuple[list[Any], int]] = {
        "fails": ([down() for _ in range(9)], 4),
        "hangs": ([Hang()] * 9, 2),
        "fails, then hangs": ([down(), down(), *[Hang()] * 9], 4),
        "breaks": ([[OPENING, UpstreamInterrupted("broke")]] * 9, 3),
    }
    script, most = acts[what]
    bench = Bench(Script(*script), *STACK, minimum_calls=50)
    route = Route("default", (A, B), 1024, max_attempts=cap, continue_stream=True)
    call = a_call(route=route, target=A, mode=Mode.STREAM)
    task = asyncio.ensure_future(answered(bench, call))
    for _ in range(30):
        await pause()
        bench.clock.advance(0.5)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or isinstance(task.exception(), SidecardError)
    assert (call.trail.sent, len(bench.asked())) == (min(cap, most), min(cap, most))
    assert (bench.held(), bench.clock.timers) == (0, 0)


async def answered(bench: Bench, call: Call) -> Message:
    return await (await bench.layer(call)).message()


async def test_no_attempt_starts_that_the_deadline_cannot_fit() -> None:
    """Neither as a retry nor at another target's gate."""
    bench = Bench(Script(down(), *[WHOLE] * 3), fallback, retry, rate_limit)
    bench.parts.gates("claude-b").close(5.0, bench.clock.now())
    began = bench.clock.now()
    with pytest.raises(SidecardError):
        await bench.run(deadline=began + 0.2)
    assert (bench.asked(), bench.clock.now(), bench.held()) == (["claude-a"], began, 0)


async def test_the_whole_stack_answers_through_all_of_it() -> None:
    """A throttled, then broken, then good upstream is one whole answer, and nothing is held."""
    script = Script(UpstreamThrottled("429", retry_after_s=1.0), down(), WHOLE)
    bench = Bench(script, *STACK, minimum_calls=50)
    reply = await bench.run()
    assert await reply.message() == fold(WHOLE)
    assert (bench.held(), bench.clock.timers) == (0, 0)


async def start(bench: Bench, **changes: object) -> asyncio.Task[Reply]:
    """Make a call, and let it go as far as it can at this moment."""
    task = asyncio.ensure_future(bench.layer(a_call(route=ROUTE, target=A, **changes)))
    await pause()
    return task


async def pause() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_hedge_starts_that_the_deadline_cannot_fit() -> None:
    """An attempt that usually takes longer than what is left gets no company."""
    for left_s, asked in ((2.0, 1), (4.0, 2)):
        bench = Bench(Script(Hang(), Hang()), retry, hedge, guard)
        for _ in range(50):
            bench.parts.times("default unary").record(3.0, bench.clock.now())
        task = await start(bench, deadline=bench.clock.now() + HEDGE_S + left_s)
        bench.clock.advance(HEDGE_S)
        await pause()
        assert len(bench.asked()) == asked
        task.cancel()
        await asyncio.wait([task])
        assert bench.held() == 0


async def test_no_rescue_starts_after_the_deadline() -> None:
    """A stream that breaks too late stays broken, and no target is asked to go on."""
    bench = Bench(Script([OPENING, UpstreamInterrupted("broke")], WHOLE), *STACK)
    policy = FallbackPolicy(continue_stream=True)
    reply = await bench.run(mode=Mode.STREAM, fallback=policy, deadline=bench.clock.now() + 1.0)
    await anext(reply)
    bench.clock.advance(1.0)
    with pytest.raises(UpstreamInterrupted):
        await anext(reply)
    assert (bench.asked(), bench.held()) == (["claude-a"], 0)


@pytest.mark.parametrize(
    ("acts", "waited_s", "asked"),
    [
        ([[OPENING, Hang()]] * 4, 0.0, 0),
        ([], 0.0, 0),
        ([Hang()], 0.0, 1),
        ([Hang(), Hang()], HEDGE_S, 2),
        ([down()], 0.0, 1),
    ],
    ids=["queue", "line", "attempt", "hedge", "backoff"],
)
async def test_who_leaves_while_waiting_ends_once_and_holds_nothing(
    acts: list[Any], waited_s: float, asked: int
) -> None:
    """Wherever a call waits, leaving is one end for `Observe`, and gives everything back."""
    bench = Bench(Script(*acts), *STACK, minimum_calls=50)
    others = []
    if len(acts) == bench.parts.places.in_flight:
        others = [(await start(bench, request_id="other")).result() for _ in acts]
    elif not acts:
        bench.parts.gates("claude-a").close(5.0, bench.clock.now())
    held, sent = bench.held(), len(bench.script.calls)
    task = await start(bench)
    bench.clock.advance(waited_s)
    await pause()
    assert (task.done(), len(bench.script.calls) - sent) == (False, asked)
    assert (bench.held() > held, bench.parts.ends["req-1"]) == (True, [])
    task.cancel()
    await asyncio.wait([task])
    assert [outcome.ending for outcome in bench.parts.ends["req-1"]] == [Ending.ABANDONED]
    assert (bench.held(), bench.clock.timers) == (held, 0)
    for reply in others:
        await reply.aclose()
    assert bench.held() == 0


async def test_the_loser_of_a_hedge_is_no_failure() -> None:
    """An attempt that is cancelled because another answered blames no target, however late."""
    bench = Bench(Script(Hang(), WHOLE, Hang(), WHOLE), hedge, guard, slow_s=1.0)
    for _ in range(2):
        task = await start(bench)
        bench.clock.advance(HEDGE_S)
        await (await task).message()
    breaker = bench.parts.breakers("claude-a")
    assert (breaker.state, breaker.status(bench.clock.now())["calls"]) == (State.CLOSED, 2)
    assert bench.held() == 0
