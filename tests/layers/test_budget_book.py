"""`Spend` with a book: nothing is sent that isn't written down, and the record has all of it."""

import asyncio
import contextlib

import pytest

from sidecard.core.call import Mode
from sidecard.core.errors import BudgetExhausted, SidecardError, UpstreamInterrupted
from sidecard.core.event import Usage
from sidecard.policy.budget import Scope
from tests.support.script import CLOSING, MIDDLE, OPENING, WHOLE, Hang, Script, a_call
from tests.support.spending import Bank, Notebook, ask, down, limited


async def test_nothing_is_sent_before_it_is_written_down() -> None:
    """The book has it while it runs, and what it cost afterwards."""
    script, book = Script(WHOLE), Notebook()
    book.held = asyncio.Event()
    bank = Bank(script, limited(500, scope=Scope(tenant="*")), book=book)
    task = asyncio.ensure_future(bank.layer(a_call(tenant="acme")))
    await asyncio.sleep(0)
    assert script.calls == []
    book.held.set()
    reply = await task
    [(number, holding)] = book.open.items()
    [amount] = holding.amounts
    assert (holding.number, amount.values, amount.spent) == (number, ("acme",), 100)
    assert (holding.used.tenant, holding.used.nano_usd) == ("acme", 100)
    await reply.message()
    assert (book.open, list(book.balances.values())) == ({}, [10])
    [used] = book.used
    assert used == used._replace(
        tenant="acme", route="default", model="claude-test", calls=1, guessed=0
    )
    assert (used.input_tokens, used.output_tokens, used.nano_usd) == (7, 3, 10)


async def test_what_a_step_of_its_own_used_is_in_the_record() -> None:
    """As it is in the cost: of a compaction, say."""
    book, usage = Notebook(), Usage(7, 3, apart=(("", Usage(5, 2, 1, 4)),))
    bank = Bank(Script([OPENING, MIDDLE, (CLOSING[0], usage, CLOSING[-1])]), book=book)
    await ask(bank)
    [used] = book.used
    assert used.counts[2:6] == (12, 5, 1, 4)


async def test_what_is_not_known_is_marked_as_guessed() -> None:
    """The use of a stream that broke is counted with what it may have cost."""
    book = Notebook()
    bank = Bank(Script([OPENING, UpstreamInterrupted("broke")]), book=book)
    with pytest.raises(UpstreamInterrupted):
        await ask(bank, mode=Mode.STREAM)
    [used] = book.used
    assert (used.guessed, used.nano_usd, used.input_tokens) == (1, 100, 7)


@pytest.mark.parametrize("unlimited", [False, True], ids=["budget", "none"])
@pytest.mark.parametrize(
    ("what", "counted"),
    [
        (down("refused"), []),
        (down("lost"), [(1, 100, 0)]),
        ([OPENING, MIDDLE, UpstreamInterrupted("broke")], [(1, 100, 7)]),
        ([OPENING, MIDDLE], [(1, 100, 7)]),
        ([OPENING, MIDDLE, (CLOSING[0], CLOSING[2])], [(0, 7, 7)]),
        (WHOLE, [(0, 10, 7)]),
    ],
    ids=["not billed", "maybe billed", "broke", "stopped", "without output", "whole"],
)
async def test_the_record_is_the_same_without_a_budget(
    what: object, counted: list[tuple[int, int, int]], *, unlimited: bool
) -> None:
    """Whatever may have cost something is in it once, whether or not a budget counts it."""
    book = Notebook()
    bank = Bank(Script(what), free=["refused"], book=book, unlimited=unlimited)  # type: ignore[arg-type]
    with contextlib.suppress(SidecardError):
        await ask(bank, mode=Mode.STREAM)
    assert [(u.guessed, u.nano_usd, u.input_tokens) for u in book.used] == counted
    assert book.open == {}


@pytest.mark.parametrize("unlimited", [False, True], ids=["budget", "none"])
async def test_an_answer_of_a_model_that_costs_nothing_is_in_the_record(*, unlimited: bool) -> None:
    """Its tokens were used all the same."""
    book = Notebook()
    await ask(Bank(Script(WHOLE), price=0, book=book, unlimited=unlimited))
    assert [(u.calls, u.guessed, u.input_tokens, u.nano_usd) for u in book.used] == [(1, 0, 7, 0)]


async def test_a_caller_who_leaves_is_in_the_record_without_a_budget() -> None:
    """Before the first content as after it: the upstream may bill it."""
    for begun in (False, True):
        book = Notebook()
        bank = Bank(Script([OPENING, Hang()] if begun else Hang()), book=book, unlimited=True)
        task = asyncio.ensure_future(bank.layer(a_call(mode=Mode.STREAM)))
        if begun:
            await (await task).aclose()
        else:
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])
        assert [(used.calls, used.guessed, used.nano_usd) for used in book.used] == [(1, 1, 100)]


async def test_without_a_budget_a_book_that_fails_holds_up_nothing() -> None:
    """Nothing is promised of its money that it could forget."""
    book = Notebook()
    book.why = "the disk is full"
    book.held = asyncio.Event()
    await ask(Bank(Script(WHOLE), book=book, unlimited=True))
    assert len(book.used) == 1


async def test_a_caller_who_leaves_while_it_is_written_pays_nothing() -> None:
    """Nothing was sent, so that nothing stays in the book."""
    book = Notebook()
    book.held = asyncio.Event()
    bank = Bank(Script(), book=book)
    task = asyncio.ensure_future(bank.layer(a_call()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (bank.stands(), book.open, book.used) == ([(0, 0)], {}, [])


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
async def test_a_book_that_fails(*, closed: bool) -> None:
    """Nothing is spent that can't be kept, or it is counted all the same, as configured."""
    script, book = Script(WHOLE), Notebook()
    book.why = "the disk is full"
    bank = Bank(script, book=book, closed=closed)
    if closed:
        with pytest.raises(BudgetExhausted, match="the disk is full") as raised:
            await ask(bank)
        assert (raised.value.retry_after_s, raised.value.moves_on) == (5.0, False)
        assert (bank.stands(), script.calls) == ([(0, 0)], [])
    else:
        await ask(bank)
        assert bank.stands() == [(10, 0)]
