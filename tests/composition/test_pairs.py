"""Every pair of layers keeps every promise that each of them keeps, and then holds nothing."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from sidecard.core.call import FallbackPolicy, Mode
from sidecard.core.errors import (
    SidecardError,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnavailable,
)
from sidecard.core.handler import Handler
from sidecard.core.outcome import Ending
from tests.composition.layers import STACK, Made, Maker, Parts, Sent, hedge, stacked
from tests.support.clock import ManualClock
from tests.support.conformance import Innermost, LayerConformance
from tests.support.script import MIDDLE, OPENING, Hang, Script, a_call

PAIRS = list(itertools.combinations(STACK, 2))
NAMES = [f"{outer.__name__}-{inner.__name__}" for outer, inner in PAIRS]
modes = pytest.mark.parametrize("mode", list(Mode), ids=[mode.value for mode in Mode])
pairs = pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
Pair = tuple[Maker, Maker]


class TestEveryPair(LayerConformance):
    """What every layer promises, two of them promise together; and then neither holds anything."""

    @pytest.fixture(autouse=True, params=PAIRS, ids=NAMES)
    def _holds_nothing(self, request: pytest.FixtureRequest) -> Iterator[None]:
        self._pair: Pair = request.param
        self._made: list[tuple[Made, ManualClock]] = []
        yield
        assert self._made
        assert [(held(), clock.timers) for (_, held), clock in self._made] == [(0, 0)]

    def layer(self, next_: Handler) -> Handler:
        clock = ManualClock()
        made = stacked(Sent(next_, clock), Parts(clock), *self._pair)
        self._made.append((made, clock))
        return made.layer


def made(script: Script, pair: Pair) -> tuple[Made, Innermost]:
    inner = Innermost(script)
    sent = Sent(inner, script.clock)
    return stacked(sent, Parts(script.clock), *pair), inner


@pytest.mark.parametrize("continues", [False, True], ids=["", "continued"])
@modes
@pairs
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


@modes
@pairs
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
@modes
@pairs
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
