"""Bound: refuses before anything is sent, passes on what fits, and learns from whole answers."""

import pytest

from sidecard.core.errors import InvalidCall
from sidecard.core.event import Usage
from sidecard.core.handler import Handler
from sidecard.core.reply import Reply
from sidecard.layers.bound import Bound
from sidecard.policy.estimator import Estimator
from tests.support.conformance import LayerConformance
from tests.support.script import CLOSING, OPENING, WHOLE, Script, a_call


def bound(next_: Handler, estimator: Estimator | None = None, *, priced: bool = True) -> Bound:
    return Bound(next_, estimator=estimator or Estimator(), priced=lambda _: priced)


class TestBound(LayerConformance):
    """`Bound` with room for everything."""

    def layer(self, next_: Handler) -> Handler:
        return bound(next_)


async def test_a_question_that_is_too_large_is_refused() -> None:
    """Nothing is sent, and the error names the field, the estimate and what to do."""
    script = Script(WHOLE)
    with pytest.raises(InvalidCall, match="estimated at up to") as caught:
        await bound(script)(a_call(max_input_tokens=5))
    assert [violation.field for violation in caught.value.violations] == ["max_input_tokens"]
    assert not script.calls


async def test_a_question_within_its_limit_goes_on() -> None:
    """The limit is compared with what the question has at most, itself included."""
    estimator, call = Estimator(), a_call()
    most = estimator.upper(call, call.target.model)
    reply = await bound(Script(WHOLE))(a_call(max_input_tokens=most))
    await reply.message()
    with pytest.raises(InvalidCall):
        await bound(Script(WHOLE))(a_call(max_input_tokens=most - 1))


async def test_a_model_without_a_price_is_refused_where_it_has_to_have_one() -> None:
    """The error names the model and both ways to have it answered."""
    script = Script(WHOLE)
    with pytest.raises(InvalidCall, match="no price is known for claude-test") as caught:
        await bound(script, priced=False)(a_call())
    assert "prices.models" in caught.value.message
    assert "prices.unknown to allow" in caught.value.message
    assert not script.calls


async def attempted(layer: Bound, script: Script, **changes: object) -> Reply:
    """Have a call answered by an attempt that used ten times what was to be expected."""
    call = a_call(max_input_tokens=10_000, **changes)
    reply = await layer(call)
    attempt = call.trail.begin(call.target.name, script.clock.now())
    attempt.usage = Usage(5_000, 3)
    reply.amend(attempt=attempt)
    return reply


async def test_it_learns_from_a_whole_answer() -> None:
    """What the upstream counted raises the next estimate for its model."""
    estimator = Estimator()
    script = Script(WHOLE)
    reply = await attempted(bound(script, estimator), script)
    before = estimator.upper(a_call(), "claude-test")
    await reply.message()
    assert estimator.upper(a_call(), "claude-test") > 1.5 * before


async def test_it_learns_nothing_from_less() -> None:
    """An answer that its caller left says nothing of its question."""
    estimator = Estimator()
    script = Script([OPENING, CLOSING])
    reply = await attempted(bound(script, estimator), script)
    before = estimator.upper(a_call(), "claude-test")
    await anext(reply)
    await reply.aclose()
    assert estimator.upper(a_call(), "claude-test") == before
