"""`Spend`: every attempt is paid for, whatever becomes of it, and none beyond what there is."""

import asyncio
import contextlib
from zoneinfo import ZoneInfo

import pytest

from sidecard.core.call import Call, Mode, Target
from sidecard.core.errors import BudgetExhausted, RateLimited, SidecardError, UpstreamInterrupted
from sidecard.core.event import Usage
from sidecard.core.handler import Handler
from sidecard.core.note import BudgetRefused
from sidecard.layers.budget import Spend
from sidecard.layers.fallback import Fallback
from sidecard.policy.budget import Amounts, Beyond, Unit
from sidecard.policy.budget_window import Calendar, Per
from tests.support.conformance import LayerConformance
from tests.support.script import CLOSING, MIDDLE, OPENING, WHOLE, Hang, Script, a_call
from tests.support.spending import (
    DEAR,
    ROUTE,
    Bank,
    Notebook,
    ask,
    down,
    limited,
)

HOUR = Calendar(Per.HOUR, ZoneInfo("UTC"))


class TestSpend(LayerConformance):
    """With room the layer is a pass-through."""

    def layer(self, next_: Handler) -> Handler:
        return Bank(next_).layer


class TestSpendWithBook(LayerConformance):
    """Also when everything is written down."""

    def layer(self, next_: Handler) -> Handler:
        return Bank(next_, book=Notebook()).layer


class TestSpendUnlimited(LayerConformance):
    """Also when there is nothing to reserve."""

    def layer(self, next_: Handler) -> Handler:
        return Bank(next_, unlimited=True, book=Notebook()).layer


async def test_an_answer_costs_what_it_used() -> None:
    """While it runs its worst case is set aside, and the rest of that is given back at the end."""
    bank = Bank(Script(WHOLE))
    reply = await bank.layer(a_call(mode=Mode.STREAM))
    assert bank.stands() == [(0, 100)]
    await reply.message()
    assert bank.stands() == [(10, 0)]


async def test_a_hundred_calls_at_once_against_a_budget_for_ten() -> None:
    """Ten are asked, ninety are refused, and nothing is spent beyond."""
    script = Script(*[WHOLE] * 10)
    bank = Bank(script, limited(1_000))
    found = await asyncio.gather(
        *[bank.layer(a_call(request_id=f"{n}")) for n in range(100)], return_exceptions=True
    )
    assert bank.stands() == [(0, 1_000)]
    refused = [one for one in found if isinstance(one, BudgetExhausted)]
    assert (len(refused), len(script.calls)) == (90, 10)
    for one in found:
        if not isinstance(one, BaseException):
            await one.message()
    assert bank.stands() == [(100, 0)]


@pytest.mark.parametrize(
    ("what", "stands"),
    [
        (down("refused"), (0, 0)),
        (down("lost"), (100, 0)),
        ([OPENING, MIDDLE, UpstreamInterrupted("broke")], (100, 0)),
        ([OPENING, MIDDLE], (100, 0)),
        ([OPENING, MIDDLE, (CLOSING[0], CLOSING[2])], (7, 0)),
    ],
    ids=["not billed", "maybe billed", "broke", "stopped", "whole"],
)
async def test_what_an_end_costs(what: object, stands: tuple[int, int]) -> None:
    """What isn't billed is given back; what isn't known costs the worst case."""
    bank = Bank(Script(what), free=["refused"])  # type: ignore[arg-type]
    with contextlib.suppress(SidecardError):
        await ask(bank, mode=Mode.STREAM)
    assert bank.stands() == [stands]


@pytest.mark.parametrize(("most", "stands"), [((40, 20), [40, 20]), ((None, 20), [100, 20])])
async def test_what_broke_off_costs_no_more_than_its_input_tells(
    most: tuple[int | None, int], stands: list[int]
) -> None:
    """And the most that it may have written; without that being known, its worst case."""

    def known(_: Call, usage: Usage) -> Amounts | None:
        return Amounts(*most) if usage.input_tokens == 7 else None

    for end in (UpstreamInterrupted("broke"), Hang()):
        budgets = limited(500), limited(500, name="tokens", unit=Unit.TOKENS)
        bank = Bank(Script([OPENING, end]), *budgets, worst_of_cut=known)
        reply = await bank.layer(a_call(mode=Mode.STREAM))
        await anext(reply)
        with contextlib.suppress(UpstreamInterrupted):
            await (reply.aclose() if isinstance(end, Hang) else anext(reply))
        assert [spent for spent, _ in bank.stands()] == stands


async def test_callers_who_leave_pay() -> None:
    """Before the answer and in its middle: the worst case, as nobody knows better."""
    bank = Bank(Script(Hang(), WHOLE, WHOLE))
    task = asyncio.ensure_future(bank.layer(a_call()))
    await asyncio.sleep(0)
    assert bank.stands() == [(0, 100)]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bank.stands() == [(100, 0)]
    for _ in range(2):
        reply = await bank.layer(a_call(mode=Mode.STREAM))
        await anext(reply)
        await reply.aclose()
    assert bank.stands() == [(300, 0)]


class Refuses:
    """A handler that holds back what it is asked, and sends nothing."""

    async def __call__(self, _: Call) -> None:
        raise RateLimited("not now")


async def test_what_was_not_sent_costs_nothing() -> None:
    """A breaker or a rate limit of ours gives all of it back; so does a caller who waited there."""
    bank = Bank(Script(Hang()))
    bank.layer._next = Refuses()  # type: ignore[assignment]
    with pytest.raises(RateLimited):
        await ask(bank)
    bank.layer._next = Script(Hang())
    task = asyncio.ensure_future(bank.layer(a_call()))
    await asyncio.sleep(0)
    assert bank.stands() == [(0, 100)]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bank.stands() == [(0, 0)]


async def test_a_refusal_names_the_budget_and_when_it_resets() -> None:
    """The caller is told what the attempt may take; the note says whose it was."""
    bank = Bank(Script(), limited(50, name="pot", window=HOUR), limited(500, name="big"))
    with pytest.raises(BudgetExhausted, match="pot: an attempt at claude-test may take") as raised:
        await ask(bank)
    error = raised.value
    assert (error.budget, error.target, error.moves_on) == ("pot", "claude-test", False)
    none = Bank(Script(), limited(0, name="none", unit=Unit.CALLS))
    with pytest.raises(BudgetExhausted, match="may take 1 call, which is more"):
        await ask(none)
    assert error.retry_after_s is None
    bank = Bank(Script(WHOLE), limited(105, name="pot", window=HOUR))
    await ask(bank)
    with pytest.raises(BudgetExhausted, match="no room") as raised:
        await ask(bank)
    assert raised.value.retry_after_s == HOUR.span(bank.clock.wall()).end - bank.clock.wall()
    [note] = bank.notes
    assert isinstance(note, BudgetRefused)
    assert (note.tenant, note.route, note.target, note.budget) == (
        "default",
        "default",
        "claude-test",
        "pot",
    )


@pytest.mark.parametrize(
    ("beyond", "asked"),
    [(Beyond.STEP_DOWN, ["claude-cheap"]), (Beyond.REFUSE, []), (Beyond.WARN, ["claude-dear"])],
)
async def test_beyond_the_limit(beyond: Beyond, asked: list[str]) -> None:
    """A budget that steps down has the cheaper target asked, one that refuses nobody."""
    script = Script(WHOLE)
    bank = Bank(script, limited(50, beyond=beyond))
    layer = Fallback(bank.layer, clock=bank.clock, notes=bank.notes.append)
    call = a_call(route=ROUTE, target=DEAR)
    if asked:
        reply = await layer(call)
        await reply.message()
        assert reply.head.degraded == (asked == ["claude-cheap"])
    else:
        with pytest.raises(BudgetExhausted):
            await layer(call)
    assert [sent.target.name for sent in script.calls] == asked
    assert bank.ledger.open == 0
    skipped = [(tried.target, tried.error) for tried in call.trail if not tried.sent]
    stepped = [("claude-dear", "BUDGET_EXHAUSTED")] if beyond is Beyond.STEP_DOWN else []
    assert skipped == stepped


async def test_nothing_fits_when_no_target_does() -> None:
    """Stepping down ends at the cheapest one: the limit holds."""
    bank = Bank(Script(), limited(5, beyond=Beyond.STEP_DOWN))
    layer = Fallback(bank.layer, clock=bank.clock, notes=bank.notes.append)
    with pytest.raises(BudgetExhausted, match="claude-dear"):
        await layer(a_call(route=ROUTE, target=DEAR))
    assert bank.stands() == [(0, 0)]


async def test_a_call_has_a_limit_of_its_own_over_all_attempts() -> None:
    """What its attempts cost, and may cost, is never above `max_cost_nano_usd`."""
    script = Script(down("lost"), down("refused"), WHOLE)
    bank = Bank(script, free=["refused"])
    call = a_call(max_cost_nano_usd=200)
    for told in ("lost", "refused"):
        with pytest.raises(type(down()), match=told):
            await bank.layer(call)
    assert call.trail.charged_nano_usd == 100
    await (await bank.layer(call)).message()
    assert call.trail.charged_nano_usd == 110
    with pytest.raises(BudgetExhausted, match="may cost 90 more") as raised:
        await bank.layer(call)
    assert (raised.value.budget, raised.value.moves_on) == ("max_cost_nano_usd", True)
    assert len(script.calls) == 3


async def test_a_calls_own_limit_holds_without_any_budget() -> None:
    """And a call without one isn't even looked at then."""
    script = Script(WHOLE, WHOLE)
    bank = Bank(script)
    bank.ledger.budgets = ()
    bank.ledger._books = []
    with pytest.raises(BudgetExhausted):
        await ask(bank, max_cost_nano_usd=99)
    await ask(bank, max_cost_nano_usd=100)
    await ask(bank)
    assert len(script.calls) == 2


async def test_without_a_price_dollars_have_no_room() -> None:
    """Of a budget, or of a call; both let it pass where that is wanted."""
    odd = Target("claude-odd")
    with pytest.raises(BudgetExhausted, match="price of claude-odd isn't known"):
        await ask(Bank(Script()), target=odd)
    bank = Bank(Script(), limited(5, unit=Unit.CALLS))
    with pytest.raises(BudgetExhausted, match="price of claude-odd isn't known"):
        await ask(bank, target=odd, max_cost_nano_usd=1 << 40)
    bank = Bank(Script(WHOLE), limited(5, unit=Unit.CALLS), counts_unpriced=False)
    await ask(bank, target=odd, max_cost_nano_usd=5)
    assert bank.stands() == [(1, 0)]


async def test_tokens_and_calls() -> None:
    """Tokens are all those of input and output; a call that wasn't billed is none."""
    budgets = [limited(500, name=u.value, unit=u) for u in (Unit.TOKENS, Unit.CALLS)]
    bank = Bank(Script(WHOLE, down("refused"), down("lost")), *budgets, free=["refused"])
    await ask(bank)
    assert bank.stands() == [(10, 0), (1, 0)]
    for _ in range(2):
        with pytest.raises(type(down())):
            await ask(bank)
    assert bank.stands() == [(60, 0), (2, 0)]


@pytest.mark.parametrize("usage", [Usage(), Usage(output_tokens=3), Usage(7, 3, odd=True)])
async def test_tokens_of_a_usage_that_went_missing_or_cannot_be_true(usage: Usage) -> None:
    """A whole answer that tells none is no way past a limit of tokens: it takes its worst case."""
    opening = tuple([each for each in OPENING if not isinstance(each, Usage)])
    script = Script([opening, MIDDLE, (CLOSING[0], usage, CLOSING[-1])])
    bank = Bank(script, limited(500, unit=Unit.TOKENS), limited(500))
    await ask(bank)
    assert bank.stands() == [(50, 0), (100, 0)]


async def test_each_of_two_attempts_at_once_settles_its_own() -> None:
    """One that was sent and one that waits behind a limit of ours: each pays for itself alone."""
    bank = Bank(Script(Hang()))
    sends, waits = bank.layer._next, Script(Hang())
    call = a_call()
    first = asyncio.ensure_future(_through(bank.layer, waits, call))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(_through(bank.layer, sends, call))
    await asyncio.sleep(0)
    assert bank.stands() == [(0, 200)]
    first.cancel()
    await asyncio.wait([first])
    assert bank.stands() == [(0, 100)]
    second.cancel()
    await asyncio.wait([second])
    assert bank.stands() == [(100, 0)]


async def _through(layer: Spend, next_: Handler, call: Call) -> object:
    layer._next = next_
    return await layer(call)
