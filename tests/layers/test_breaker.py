"""`Break`: which ends of an attempt the breaker hears of, and how."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from sidecard.core.call import Call, Mode
from sidecard.core.errors import (
    BreakerOpen,
    Overloaded,
    RateLimited,
    SidecardError,
    UpstreamInterrupted,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.handler import Handler
from sidecard.core.reply import Head, Reply, Source
from sidecard.core.trail import Attempt
from sidecard.layers.breaker import Break
from sidecard.policy.breaker import Breaker, BreakerPolicy, State
from tests.composition.layers import Sent
from tests.support.clock import ManualClock
from tests.support.conformance import LayerConformance
from tests.support.script import CLOSING, OPENING, WHOLE, Hang, Script, ScriptedStream, a_call

if TYPE_CHECKING:
    from sidecard.core.event import Batch


def guarded(
    next_: Handler, clock: ManualClock, usual_s: float | None = None, **policy: object
) -> tuple[Break, Breaker]:
    """Return the layer and its one breaker: it trips at the second of two failures."""
    fields: dict[str, object] = {"minimum_calls": 2, "failure_rate": 1.0, "probes": 1}
    breaker = Breaker(
        BreakerPolicy(**{**fields, **policy}),  # type: ignore[arg-type]
        chance=lambda: 0.5,
    )
    layer = Break(next_, breaker_of=lambda _: breaker, usual_s=lambda _: usual_s, clock=clock)
    return layer, breaker


class TestBreak(LayerConformance):
    """With a closed breaker the layer is a pass-through."""

    def layer(self, next_: Handler) -> Handler:
        return guarded(next_, ManualClock(), minimum_calls=50)[0]


async def tries(layer: Handler, number: int, **changes: object) -> None:
    """Make calls to their ends, whatever those are."""
    for _ in range(number):
        with contextlib.suppress(SidecardError):
            await (await layer(a_call(**changes))).message()


def with_status(status: int) -> UpstreamUnavailable:
    error = UpstreamUnavailable(f"answered {status}")
    error.status = status
    return error


@pytest.mark.parametrize(
    "error",
    [UpstreamUnavailable("refused"), with_status(500), with_status(529), with_status(408)],
    ids=["fault", "500", "529", "408"],
)
async def test_failures_of_the_target_open_it(error: UpstreamUnavailable) -> None:
    """After them nothing is asked, and the caller hears when it may try again."""
    script = Script(error, error)
    layer, breaker = guarded(script, script.clock)
    await tries(layer, 2)
    assert breaker.state is State.OPEN
    with pytest.raises(BreakerOpen, match="claude-test is open") as raised:
        await layer(a_call())
    assert raised.value.retry_after_s is not None
    assert raised.value.target == "claude-test"
    assert len(script.calls) == 2


@pytest.mark.parametrize(
    "error",
    [
        UpstreamRefused("400"),
        UpstreamMisconfigured("401"),
        UpstreamThrottled("429"),
        RateLimited("here"),
        Overloaded("no descriptor"),
        with_status(409),
        ValueError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_not_the_targets_fault_leaves_it_closed(error: Exception) -> None:
    """The caller's mistakes, the operator's, our own limits and bugs don't count."""
    acts: list[Exception] = [error] * 5
    script = Script(*acts)
    layer, breaker = guarded(script, script.clock)
    for _ in range(5):
        with pytest.raises(type(error)):
            await layer(a_call())
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("by_s", [-86_400.0, -3_600.0, 3_600.0, 86_400.0])
async def test_its_open_time_is_no_wall_clocks(by_s: float) -> None:
    """Where the clock on the wall is set, an open breaker is open for as long as it was to be."""
    clock = ManualClock()
    layer, breaker = guarded(Script(*[UpstreamUnavailable("no")] * 2, WHOLE), clock, open_s=10.0)
    await tries(layer, 2)
    clock.step_wall(by_s)
    clock.advance(9.9)
    with pytest.raises(BreakerOpen) as raised:
        await layer(a_call())
    assert raised.value.retry_after_s == pytest.approx(0.1)
    clock.advance(0.2)
    await tries(layer, 1)
    assert breaker.state is State.CLOSED


async def test_429_counts_where_that_is_wanted() -> None:
    """With `count_throttled` the rate limit is a failure like any."""
    script = Script(UpstreamThrottled("429"), UpstreamThrottled("429"))
    layer, breaker = guarded(script, script.clock, count_throttled=True)
    await tries(layer, 2)
    assert breaker.state is State.OPEN


async def test_streams_that_break_count_at_their_end() -> None:
    """A stream that was committed and broke is a failure, once it is read so far."""
    broken: list[Batch | BaseException] = [OPENING, UpstreamInterrupted("broke")]
    script = Script(broken, broken)
    layer, breaker = guarded(script, script.clock)
    replies = [await layer(a_call()), await layer(a_call())]
    assert breaker.status(script.clock.now())["calls"] == 0
    for reply in replies:
        with pytest.raises(UpstreamInterrupted):
            await reply.message()
    assert breaker.state is State.OPEN


async def test_callers_who_leave_count_for_nothing() -> None:
    """Neither before nor after the commit."""
    script = Script(Hang(), WHOLE, Hang(), WHOLE)
    layer, breaker = guarded(script, script.clock)
    for _ in range(2):
        task = asyncio.ensure_future(layer(a_call()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await (await layer(a_call())).aclose()
    assert breaker.state is State.CLOSED
    assert breaker.status(script.clock.now())["calls"] == 0


@pytest.mark.parametrize(("usual_s", "waited_s"), [(None, 31.0), (1.0, 2.1)])
async def test_a_target_that_never_answers_opens_it_whatever_the_deadlines(
    usual_s: float | None, waited_s: float
) -> None:
    """Calls given up after twice the usual worst, or the slow threshold, are failures."""
    script = Script(*[Hang()] * 2)
    layer, breaker = guarded(Sent(script, script.clock), script.clock, usual_s)
    tasks = [asyncio.ensure_future(layer(a_call())) for _ in range(2)]
    await asyncio.sleep(0)
    script.clock.advance(waited_s)
    for task in tasks:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert breaker.state is State.OPEN


async def test_who_leaves_our_own_line_blames_nobody() -> None:
    """A target that has heard nothing of a call hasn't failed it, however long that waited."""
    script = Script(*[Hang()] * 2)
    layer, breaker = guarded(script, script.clock, 1.0)
    tasks = [asyncio.ensure_future(layer(a_call())) for _ in range(2)]
    await asyncio.sleep(0)
    script.clock.advance(60.0)
    for task in tasks:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert breaker.state is State.CLOSED
    assert breaker.status(script.clock.now())["calls"] == 0


class Late:
    """A handler whose answers' first events came so late."""

    def __init__(self, first_event_s: float | None) -> None:
        self.clock = ManualClock()
        self._attempt = Attempt(1, "claude-test", 0.0, first_event_s=first_event_s)

    async def __call__(self, _: Call) -> Reply:
        head = Head(Source.UPSTREAM, "claude-test", attempt=self._attempt)
        return Reply(head, ScriptedStream([OPENING, CLOSING]), self.clock)


@pytest.mark.parametrize(
    ("first_event_s", "state"),
    [(31.0, State.OPEN), (29.0, State.CLOSED), (None, State.CLOSED)],
    ids=["late", "in time", "in one piece"],
)
async def test_slow_answers_open_it(first_event_s: float | None, state: State) -> None:
    """Whole answers whose first event was late count as slow; those without one don't."""
    late = Late(first_event_s)
    layer, breaker = guarded(late, late.clock, slow_rate=1.0)
    await tries(layer, 2)
    assert breaker.state is state


async def test_a_probe_is_told_by_its_first_content() -> None:
    """A stream that takes minutes doesn't hold back the others until it is whole."""
    script = Script(with_status(500), with_status(500), WHOLE, WHOLE)
    layer, breaker = guarded(script, script.clock)
    await tries(layer, 2)
    script.clock.advance(60)
    probe = await layer(a_call(mode=Mode.STREAM))
    assert breaker.state is State.CLOSED
    await tries(layer, 1)
    await probe.aclose()
    assert breaker.state is State.CLOSED


async def test_a_probe_that_is_cancelled_gives_its_permit_back() -> None:
    """The next call may probe."""
    script = Script(with_status(500), with_status(500), Hang(), WHOLE)
    layer, breaker = guarded(script, script.clock)
    await tries(layer, 2)
    script.clock.advance(60)
    task = asyncio.ensure_future(layer(a_call()))
    await asyncio.sleep(0)
    with pytest.raises(BreakerOpen):
        await layer(a_call())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await tries(layer, 1)
    assert breaker.state is State.CLOSED
