"""Structured output in the whole stack: each further question is a call like the first."""

import asyncio
from typing import Any

import pytest

from sidecard.core.call import Mode, Route, Target
from sidecard.core.errors import InvalidOutput
from sidecard.core.fold import unfold
from sidecard.core.reply import Reply, Source
from sidecard.policy.admission import AdmissionPolicy
from sidecard.policy.breaker import State
from sidecard.policy.budget import Beyond, Budget, Unit
from sidecard.policy.budget_window import Per, Rolling
from sidecard.policy.ledger import Ledger
from tests.composition.layers import STACK, Parts, Sent, stacked
from tests.support.script import Script
from tests.support.structured import BAD, GOOD, Whole, asking, saying

ATTEMPT: int = 1_000
"""What the stack takes for an attempt's worst case; none of the script's says what it used."""


class Bench:
    """The whole stack over an upstream that writes one text after the other."""

    def __init__(self, *texts: str, budget: int = 1_000_000) -> None:
        self.script = Script(*[[unfold(saying(text))] for text in texts])
        self.clock = self.script.clock
        self.parts = Parts(self.clock)
        self.parts.places = AdmissionPolicy(in_flight=1, queue=4)
        limit = Budget("all", Unit.DOLLARS, budget, Rolling(Per.HOUR), beyond=Beyond.REFUSE)
        self.parts.ledger = Ledger([limit])
        self.stack, self.held = stacked(Sent(Whole(self.script), self.clock), self.parts, *STACK)

    async def ask(self, mode: Mode = Mode.UNARY, **changes: Any) -> Reply:
        route = Route("default", (Target("claude-one"),), 1024)
        changes = {"route": route, "deadline": self.clock.now() + 60.0, **changes}
        return await self.stack(asking(mode, **changes))

    @property
    def spent(self) -> int:
        standings = self.parts.ledger.standings(self.clock.wall())
        return sum(found.spent for found in standings)


async def test_a_further_question_is_paid_for() -> None:
    """By the same budget, one attempt more; and it takes the one place that there is, anew."""
    bench = Bench(BAD, GOOD)
    reply = await bench.ask()
    assert (await reply.message()).output_json == GOOD
    assert len(bench.script.calls) == 2
    await asyncio.sleep(0)
    assert (bench.spent, bench.held()) == (2 * ATTEMPT, 0)


async def test_a_budget_that_is_used_up_ends_it() -> None:
    """Nothing more is sent, and the answer that there was is told with the reason."""
    bench = Bench(BAD, GOOD, budget=ATTEMPT)
    with pytest.raises(InvalidOutput) as raised:
        await bench.ask()
    assert raised.value.message.endswith("asking again failed: BUDGET_EXHAUSTED")
    assert raised.value.raw == BAD
    assert len(bench.script.calls) == 1
    assert (bench.spent, bench.held()) == (ATTEMPT, 0)


async def test_what_the_caller_would_pay_holds_for_all_of_it() -> None:
    """`max_cost_nano_usd` is the whole call's, however often is asked."""
    bench = Bench(BAD, GOOD)
    with pytest.raises(InvalidOutput, match="BUDGET_EXHAUSTED"):
        await bench.ask(max_cost_nano_usd=2 * ATTEMPT - 1)
    assert len(bench.script.calls) == 1
    answered = Bench(BAD, GOOD)
    assert (await (await answered.ask(max_cost_nano_usd=2 * ATTEMPT)).message()).output_json


async def test_the_limit_of_input_holds_for_the_longer_question() -> None:
    """With the answer and what is wrong it may be too long: then it isn't asked."""
    bench = Bench(json_of(3_000), GOOD)
    with pytest.raises(InvalidOutput, match="asking again failed: INVALID_CALL"):
        await bench.ask(max_input_tokens=1_500)
    assert len(bench.script.calls) == 1
    assert bench.held() == 0


async def test_the_deadline_is_one_for_all() -> None:
    """A further question has no more time than what is left."""
    bench = Bench(BAD, GOOD)
    deadline = bench.clock.now() + 5.0
    await (await bench.ask(deadline=deadline)).aclose()
    assert [call.deadline for call in bench.script.calls] == [deadline] * 2


async def test_a_wrong_answer_is_no_failure_of_the_target() -> None:
    """The model doesn't write what is asked for; the upstream serves well, and no breaker opens."""
    bench = Bench(*[BAD] * 12)
    for _ in range(6):
        with pytest.raises(InvalidOutput):
            await bench.ask()
    assert [breaker.state for _, breaker in bench.parts.breakers] == [State.CLOSED]


async def test_equal_calls_share_what_was_checked() -> None:
    """One question, one further one, and all who asked get the JSON; then it is in the cache."""
    bench = Bench(BAD, GOOD)
    replies = await asyncio.gather(*[bench.ask(request_id=f"req-{n}") for n in range(5)])
    assert [(await reply.message()).output_json for reply in replies] == [GOOD] * 5
    later = await bench.ask(request_id="req-later")
    assert later.head.source is Source.CACHE_EXACT
    assert (await later.message()).output_json == GOOD
    assert len(bench.script.calls) == 2


@pytest.mark.parametrize("mode", list(Mode))
async def test_what_is_wrong_is_shared_as_an_error_and_kept_by_nobody(mode: Mode) -> None:
    """Who asks later, asks anew."""
    bench = Bench(*[BAD] * (2 if mode is Mode.UNARY else 1), GOOD)

    async def told(name: str) -> str:
        try:
            message = await (await bench.ask(mode, request_id=name)).message()
        except InvalidOutput as error:
            return error.reason
        return message.output_json

    asked = [told("req-1"), told("req-2")]
    assert await asyncio.gather(*asked) == ["INVALID_OUTPUT"] * 2
    assert await told("req-3") == GOOD
    await asyncio.sleep(0)
    assert bench.held() == 0


def json_of(size: int) -> str:
    """Return an answer of that many words that satisfies no schema of these tests."""
    return f'{{"a": "{"word " * size}"}}'
