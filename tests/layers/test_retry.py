"""`Retry`: what is tried again, when, at whose cost, and what the caller gets in the end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sidecard.core.call import Call, Mode, Route, Target
from sidecard.core.errors import (
    BreakerOpen,
    SidecardError,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.handler import Handler
from sidecard.core.note import Note, RetriesEnded, Retrying
from sidecard.core.reply import Reply
from sidecard.layers.retry import Retry
from sidecard.policy.backoff import RetryPolicy
from sidecard.policy.latency import ENOUGH, ERROR, LatencyQuantiles
from sidecard.policy.retry_budget import RetryBudget
from tests.support.conformance import LayerConformance
from tests.support.script import TARGET, WHOLE, Hang, Script, a_call

DOWN = UpstreamUnavailable("down")


class Tried:
    """Between the layer and the script: writes attempts as the upstream's handler does."""

    def __init__(self, script: Script, *, takes_s: float = 0.0) -> None:
        self._script = script
        self._takes_s = takes_s

    async def __call__(self, call: Call) -> Reply:
        attempt = call.trail.begin(call.target.name, self._script.clock.now())
        try:
            reply = await self._script(call)
        except SidecardError as error:
            attempt.error = error.reason
            raise
        attempt.first_event_s = self._takes_s
        reply.amend(attempt=attempt)
        return reply


class Bench:
    """The layer over a script, with everything it shares to look at."""

    def __init__(self, script: Script, *, next_: Handler | None = None, **policy: object) -> None:
        self.script = script
        self.clock = script.clock
        self.budget = RetryBudget()
        self.times = LatencyQuantiles()
        self.notes: list[Note] = []
        self.layer = Retry(
            next_ or Tried(script),
            policies=lambda _: RetryPolicy(**policy),  # type: ignore[arg-type]
            budget=self.budget,
            latency_of=lambda _: self.times,
            clock=self.clock,
            notes=self.notes.append,
            chance=lambda: 0.5,
        )

    async def run(self, call: Call) -> Reply:
        """Return what the layer does, turning the clock to each moment that is waited for."""
        task = asyncio.ensure_future(self.layer(call))
        while not task.done():
            await asyncio.sleep(0)
            if (when := self.clock.next_timer) is not None:
                self.clock.advance(when - self.clock.now())
        return await task

    @property
    def ends(self) -> list[str]:
        """Why it was given up, as noted."""
        return [note.why for note in self.notes if isinstance(note, RetriesEnded)]


class TestRetry(LayerConformance):
    """For what isn't tried again the layer is a pass-through."""

    def layer(self, next_: Handler) -> Handler:
        return Bench(Script(), next_=next_).layer


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_failure_is_hidden_by_the_next_attempt(mode: Mode) -> None:
    """The caller gets the answer, later by the backoffs; each retry is noted."""
    bench = Bench(Script(DOWN, DOWN, WHOLE))
    call = a_call(mode=mode)
    reply = await bench.run(call)
    await reply.message()
    assert bench.script.calls == [call] * 3
    assert bench.notes == [
        Retrying("req-1", "claude-test", 1, "UPSTREAM_UNAVAILABLE", 0.125),
        Retrying("req-1", "claude-test", 2, "UPSTREAM_UNAVAILABLE", 0.25),
    ]
    assert bench.clock.now() == 1_000.375
    assert bench.budget.status(bench.clock.now()) == {"calls": 1, "added": 2, "left": 8}


async def test_the_last_error_is_raised_as_it_is() -> None:
    """After the policy's attempts the last failure comes out, with nothing hung on it."""
    last = UpstreamThrottled("slow down", retry_after_s=3.0)
    bench = Bench(Script(DOWN, UpstreamUnavailable("down again"), last))
    with pytest.raises(UpstreamThrottled) as raised:
        await bench.run(a_call())
    assert raised.value is last
    assert last.__context__ is None
    assert last.retry_after_s == 3.0
    assert bench.ends == ["attempts"]


async def test_retry_after_is_waited_for_with_jitter_on_top() -> None:
    """No attempt goes out before the moment that the upstream named."""
    bench = Bench(Script(UpstreamThrottled("slow down", retry_after_s=9.0), WHOLE))
    task = asyncio.ensure_future(bench.layer(a_call()))
    await asyncio.sleep(0.01)
    assert bench.clock.next_timer == 1_009.125
    bench.clock.advance(9.1)
    await asyncio.sleep(0.01)
    assert len(bench.script.calls) == 1
    assert bench.layer.waiting == 1
    bench.clock.advance(0.1)
    await (await task).aclose()
    assert len(bench.script.calls) == 2
    assert bench.layer.waiting == 0


@pytest.mark.parametrize(
    "error", [UpstreamRefused("no"), BreakerOpen("open")], ids=["refused", "open"]
)
async def test_what_wont_pass_isnt_tried_again(error: SidecardError) -> None:
    """A refusal passes at once, without a note, and costs nothing; so does an open breaker."""
    bench = Bench(Script(DOWN, error))
    with pytest.raises(type(error)) as raised:
        await bench.run(a_call())
    assert raised.value is error
    assert bench.ends == []
    assert bench.budget.status(bench.clock.now())["added"] == 1


async def test_the_upstreams_word_is_obeyed() -> None:
    """A 400 that says so is tried again, a 503 that says not isn't."""
    again, final = UpstreamRefused("odd"), UpstreamUnavailable("down for good")
    again.should_retry, final.should_retry = True, False
    bench = Bench(Script(again, final))
    with pytest.raises(UpstreamUnavailable, match="for good"):
        await bench.run(a_call())
    assert len(bench.script.calls) == 2


async def test_what_the_deadline_cant_fit_is_given_up_at_once() -> None:
    """The caller hears now, and when to come again, rather than at the deadline."""
    bench = Bench(Script(UpstreamThrottled("slow down", retry_after_s=5.0)))
    with pytest.raises(UpstreamThrottled) as raised:
        await bench.run(a_call(deadline=1_005.1))
    assert raised.value.retry_after_s == 5.0
    assert bench.clock.now() == 1_000.0
    assert bench.ends == ["deadline"]


@pytest.mark.parametrize(("usual_s", "calls"), [(2.0, 2), (3.0, 1)])
async def test_what_an_attempt_usually_takes_has_to_fit(usual_s: float, calls: int) -> None:
    """Once it is known how long first events take, no attempt starts with less time than that."""
    bench = Bench(Script(DOWN, WHOLE))
    for _ in range(ENOUGH):
        bench.times.record(usual_s, 1_000.0)
    try:
        await (await bench.run(a_call(deadline=1_002.5))).aclose()
    except UpstreamUnavailable:
        assert bench.ends == ["deadline"]
    assert len(bench.script.calls) == calls


async def test_answers_teach_how_long_attempts_take() -> None:
    """The first-event time of each attempt that answered is learned, and no other's."""
    script = Script(DOWN, *[WHOLE] * ENOUGH)
    bench = Bench(script, next_=Tried(script, takes_s=0.5))
    assert bench.times.quantile(0.5) is None
    for _ in range(ENOUGH):
        await (await bench.run(a_call())).aclose()
    assert bench.times.quantile(0.5) == pytest.approx(0.5, rel=ERROR)
    assert bench.times.quantile(1.0) == bench.times.quantile(0.0)


async def test_an_empty_budget_ends_retries() -> None:
    """In an outage all calls together retry as often as the budget allows, then each fails once."""
    bench = Bench(Script(*[DOWN] * 100), max_attempts=2)
    for _ in range(40):
        with pytest.raises(UpstreamUnavailable):
            await bench.run(a_call())
    assert bench.clock.now() < 1_010
    assert len(bench.script.calls) == 40 + 10
    assert bench.ends == ["attempts"] * 10 + ["budget"] * 30


async def test_the_cap_holds_over_targets() -> None:
    """What another target has used of the call's attempts is gone; the call is counted once."""
    second = Target("claude-b")
    route = Route("default", (TARGET, second), 1024, max_attempts=4)
    bench = Bench(Script(*[DOWN] * 10))
    call = a_call(route=route)
    for target in route.targets:
        with pytest.raises(UpstreamUnavailable):
            await bench.run(call.to(target))
    assert [attempt.target for attempt in call.trail] == ["claude-test"] * 3 + ["claude-b"]
    assert bench.ends == ["attempts", "attempts"]
    assert bench.budget.status(bench.clock.now()) == {"calls": 1, "added": 2, "left": 8}


async def test_a_skipped_target_makes_no_second_deposit() -> None:
    """A call that comes to its second target without having asked the first was counted there."""
    bench = Bench(Script(WHOLE))
    call = a_call()
    call.trail.skip("claude-a", 1_000.0, "BREAKER_OPEN")
    await (await bench.run(call)).aclose()
    assert bench.budget.status(bench.clock.now())["calls"] == 0


async def _first(bench: Bench) -> None:
    await asyncio.sleep(0.01)
    assert bench.layer.waiting == 1


async def _second(bench: Bench) -> None:
    await _first(bench)
    bench.clock.advance(1)
    await asyncio.sleep(0.01)
    assert len(bench.script.calls) == 2


@pytest.mark.parametrize("until", [_first, _second], ids=["waiting", "trying again"])
async def test_a_caller_who_leaves_ends_it(until: Callable[[Bench], Awaitable[None]]) -> None:
    """Leaving while a retry is waited for, or made, leaves no timer and makes no attempt."""
    bench = Bench(Script(DOWN, Hang(), WHOLE))
    task = asyncio.ensure_future(bench.layer(a_call()))
    await until(bench)
    made = len(bench.script.calls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.clock.advance(60)
    await asyncio.sleep(0.01)
    assert len(bench.script.calls) == made
    assert (bench.clock.timers, bench.layer.waiting) == (0, 0)
    assert repr(bench.layer).startswith("<Retry, 0 waiting, <RetryBudget, ")
