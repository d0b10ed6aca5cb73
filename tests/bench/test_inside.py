"""What is measured within one process: that it is the right thing, not what comes out."""

import asyncio
from typing import Any

import pytest

from sidecard.core.call import Mode
from sidecard.layers.observe import Observe
from tests.bench import stack
from tests.bench.decisions import DECISIONS
from tests.bench.figures import FIGURES
from tests.bench.keeping import Kept
from tests.bench.payload import BURST_DELTAS, TEXT, text_of
from tests.bench.questions import CONTINUING, ROUTE, a_call


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.key)
def test_a_decision_can_be_made_again_and_again(decision: Any) -> None:
    """None runs out of permits, places or patience, and each has its line in the table."""
    decide = decision.make()
    for number in range(300):
        decide(1_000.0 + number / 1_000)
    assert decision.key in {figure.key for figure in FIGURES if figure.group == "decisions"}


async def test_the_stack_is_the_daemons_but_for_its_end() -> None:
    """A call goes through all layers, is answered by the stand-in, and gives all back."""
    answers = stack.Answers()
    handler = stack.layered(answers)
    assert isinstance(handler, Observe)
    reply = await handler(a_call())
    assert handler.open == 1
    assert (await reply.message()).text == TEXT
    assert handler.open == 0


@pytest.mark.parametrize("route", [ROUTE, CONTINUING])
async def test_a_stream_has_its_deltas(route: Any) -> None:
    """All of them come through, in batches of one."""
    reply = await stack.layered(stack.Answers())(a_call(Mode.STREAM, route))
    batches = [batch async for batch in reply]
    texts = [e.delta["text"] for batch in batches for e in batch if hasattr(e, "delta")]
    assert (len(texts), "".join(texts)) == (BURST_DELTAS, text_of(BURST_DELTAS))


async def test_calls_are_kept_up() -> None:
    """So many ask at once, each is followed by another, and what fails is told at the end."""
    kept, begun, errors = Kept(), 0, False

    async def ask() -> bytes:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        if errors:
            raise ConnectionError
        return b""

    kept.start(7411, ask, 4, 0.004)
    async with asyncio.timeout(10):
        while kept.answered()[0] < 20:  # noqa: ASYNC110  # the load has no event for it
            await asyncio.sleep(0.001)
        assert begun >= 20
        errors = True
        before = begun
        while begun == before:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    with pytest.raises(ConnectionError):
        await kept.stop()
    assert kept.answered() == []
