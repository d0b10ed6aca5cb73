"""Every pair of layers keeps every promise that each of them keeps, and then holds nothing."""

import asyncio
import itertools

import pytest

from sidecard.core.call import FallbackPolicy, Mode
from sidecard.core.errors import (
    SidecardError,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnavailable,
)
from sidecard.core.fold import fold
from sidecard.core.outcome import Ending
from tests.composition.layers import STACK, Made, Parts, Sent, hedge, stacked
from tests.support.conformance import Ends, Innermost
from tests.support.script import MIDDLE, OPENING, USAGE, WHOLE, Hang, Script, a_call

PAIRS = list(itertools.combinations(STACK, 2))
pytestmark = [
    pytest.mark.parametrize("mode", list(Mode), ids=[mode.value for mode in Mode]),
    pytest.mark.parametrize("pair", PAIRS, ids=[f"{a.__name__}-{b.__name__}" for a, b in PAIRS]),
]
Pair = tuple[object, object]


def made(script: Script, pair: tuple[object, ...]) -> tuple[Made, Innermost]:
    inner = Innermost(script)
    sent = Sent(inner, script.clock)
    return stacked(sent, Parts(script.clock), *pair), inner  # type: ignore[arg-type]


async def test_a_whole_answer_passes_unchanged(pair: Pair, mode: Mode) -> None:
    """It ends completed, once, at both ends, and is closed once."""
    script = Script(WHOLE)
    (layer, held), inner = made(script, pair)
    outer = Ends()
    reply = await layer(a_call(mode=mode))
    reply.on_end(outer)
    assert await reply.message() == fold(WHOLE)
    assert inner.ends.only.ending is outer.only.ending is Ending.COMPLETED
    assert outer.only.usage == USAGE
    assert script.streams[0].closed == 1
    assert held() == 0


@pytest.mark.parametrize("reads", [0, 1])
async def test_who_leaves_is_heard_of(pair: Pair, mode: Mode, reads: int) -> None:
    """Leaving, unread or in the middle, closes the source and gives everything back."""
    script = Script(WHOLE)
    (layer, held), inner = made(script, pair)
    reply = await layer(a_call(mode=mode))
    for _ in range(reads):
        await anext(reply)
    await reply.aclose()
    await reply.aclose()
    assert inner.ends.only.ending is Ending.ABANDONED
    assert (script.streams[0].closed, held()) == (1, 0)


@pytest.mark.parametrize("continues", [False, True], ids=["", "continued"])
async def test_what_breaks_is_never_whole(pair: Pair, mode: Mode, *, continues: bool) -> None:
    """A stream that breaks, and can't go on, raises at the reader and ends failed."""
    script = Script([OPENING, MIDDLE, UpstreamInterrupted("broke")], *[UpstreamRefused("no")] * 5)
    (layer, held), inner = made(script, pair)
    policy = FallbackPolicy(continue_stream=continues)
    reply = await layer(a_call(mode=mode, fallback=policy))
    with pytest.raises(UpstreamInterrupted):
        await reply.message()
    assert inner.ends.heard[0].ending is Ending.FAILED
    assert held() == 0


async def test_a_refusal_passes_at_once(pair: Pair, mode: Mode) -> None:
    """The caller's mistake comes out as it went in, after one attempt."""
    refused = UpstreamRefused("no")
    script = Script(refused)
    (layer, held), _ = made(script, pair)
    with pytest.raises(UpstreamRefused) as raised:
        await layer(a_call(mode=mode))
    assert raised.value is refused
    assert held() == 0


async def test_a_failure_that_stays_ends_the_call(pair: Pair, mode: Mode) -> None:
    """Whatever is tried again, the call ends with an error and nothing is held."""
    script = Script(*[UpstreamUnavailable("down") for _ in range(9)])
    (layer, held), _ = made(script, pair)
    task = asyncio.ensure_future(layer(a_call(mode=mode)))
    for _ in range(20):
        await asyncio.sleep(0)
        script.clock.advance(0.5)
    with pytest.raises(SidecardError):
        await task
    assert held() == 0
    assert script.clock.timers == 0


@pytest.mark.parametrize("waited_s", [0.0, 6.0], ids=["", "after the hedge"])
async def test_cancelling_while_it_waits_leaves_nothing(
    pair: Pair, mode: Mode, waited_s: float
) -> None:
    """What is behind is cancelled, also beside a hedge; no task, timer or permit is left."""
    before = asyncio.all_tasks()
    script = Script(*[Hang() for _ in range(3)])
    (layer, held), _ = made(script, pair)
    task = asyncio.ensure_future(layer(a_call(mode=mode)))
    for _ in range(5):
        await asyncio.sleep(0)
    script.clock.advance(waited_s)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(script.calls) == (2 if waited_s and hedge in pair else 1)
    assert script.cancelled == len(script.calls)
    assert (held(), script.clock.timers) == (0, 0)
    assert asyncio.all_tasks() == before
