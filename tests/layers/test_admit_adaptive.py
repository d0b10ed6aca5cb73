"""`Admit` with an adaptive limit: what it hears of, and how."""

import asyncio

import pytest

from sidecard.core.call import Call, Mode
from sidecard.core.errors import (
    SidecardError,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.reply import Head, Reply, Source
from sidecard.core.trail import Attempt
from sidecard.policy.admission import AdmissionPolicy
from sidecard.policy.concurrency import AdaptivePolicy
from tests.support.admitting import Subject
from tests.support.clock import ManualClock
from tests.support.script import TARGET, WHOLE, ScriptedStream


class Timed:
    """A handler whose answers say how long their first events took, in turn; or fails."""

    def __init__(
        self, *acts: float | SidecardError | None, source: Source = Source.UPSTREAM
    ) -> None:
        self._acts = list(acts)
        self._source = source
        self.clock = ManualClock()

    async def __call__(self, _: Call) -> Reply:
        await asyncio.sleep(0)
        self.clock.advance(1)
        act = self._acts.pop(0)
        if isinstance(act, SidecardError):
            raise act
        attempt = Attempt(1, TARGET.name, self.clock.now() - 1, first_event_s=act)
        head = Head(self._source, TARGET.name, attempt=attempt)
        return Reply(head, ScriptedStream(WHOLE), self.clock)


async def limit_after(handler: Timed, times: int, initial: int = 2) -> int:
    """Return where an adaptive limit between 2 and 10 is after so many calls, two at a time."""
    policy = AdmissionPolicy(10, 10, adaptive=AdaptivePolicy(2, initial, decrease=0.5))
    subject = Subject(handler, handler.clock, shared=policy)
    for _ in range(times // 2):
        pair = [subject.calls(mode=Mode.STREAM) for _ in range(2)]
        for end in await asyncio.gather(*pair, return_exceptions=True):
            if isinstance(end, Reply):
                await end.message()
    subject.assert_idle()
    return subject.shared.limit


async def test_answers_raise_an_adaptive_limit() -> None:
    """Timed or not, if they come from the upstream: a static text says nothing of it."""
    assert await limit_after(Timed(*[0.5] * 8), 8) > 2
    assert await limit_after(Timed(*[None] * 8), 8) > 2
    assert await limit_after(Timed(*[None] * 8, source=Source.STATIC), 8) == 2


async def test_late_first_events_lower_an_adaptive_limit() -> None:
    """As the attempt that answered has them, without what was waited for before it."""
    assert await limit_after(Timed(*[0.5] * 60, *[9.0] * 40), 100, initial=10) < 10
    assert await limit_after(Timed(*[0.5] * 100), 100, initial=10) == 10


@pytest.mark.parametrize(
    ("error", "expected"),
    [(UpstreamThrottled("429"), 5), (UpstreamUnavailable("529"), 5), (UpstreamRefused("400"), 10)],
)
async def test_failures_of_the_upstream_lower_an_adaptive_limit(
    error: SidecardError, expected: int
) -> None:
    """Two at once lower it once; a caller's mistake doesn't."""
    assert await limit_after(Timed(error, error), 2, initial=10) == expected
