"""Spend: every attempt reserves the most that it can cost, and settles what it did cost.

Inside fallback, retries and hedges, so that each of their attempts is paid for,
also those whose answer nobody wanted; outside the breaker and the rate limit,
so that what they hold back costs nothing.

What comes back of a reservation when an attempt ends:

- all of it, where nothing was sent, or nothing billed: the upstream answered with an error's
  status, or it was never reached;
- what it didn't use, when its answer is whole and says what it used;
- what its input is known not to have used, where a stream broke or was left in the middle;
- nothing in every other case: a timeout, an answer without usage, or with one that can't be true.
  The upstream may have billed more than it could report.

Where no budget counts, nothing is reserved, and what was used is recorded all the same.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.errors import BudgetExhausted
from sidecard.core.event import Usage
from sidecard.core.handler import Handler
from sidecard.core.ledger import Balance, Book, Holding, LedgerFailed, Used
from sidecard.core.note import BudgetRefused
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import NoteSink
from sidecard.core.reply import Reply
from sidecard.core.trail import Attempt, Watch, watch
from sidecard.policy.budget import Amounts, Facts
from sidecard.policy.ledger import Ledger, Refusal, Reservation, amount_text

_MAX_COST: Final = "max_cost_nano_usd"
_OUT_S: Final = 5.0


class Spend:
    """State: the ledger's. Safe to share.

    `worst_of` gives the most that an attempt can cost, `worst_of_cut` the most that one did which
    told some of its usage and broke off, None where that isn't known. `book` keeps what was spent
    and used, None for nowhere; with `closed` nothing that a budget counts is sent which it can't
    keep. `counts_unpriced`: what has no price is more than any limit in dollars; else it is free.
    """

    def __init__(
        self,
        next_: Handler,
        *,
        ledger: Ledger,
        worst_of: Callable[[Call], Amounts],
        worst_of_cut: Callable[[Call, Usage], Amounts | None] = lambda *_: None,
        clock: Clock,
        notes: NoteSink,
        book: Book | None = None,
        closed: bool = True,
        counts_unpriced: bool = True,
    ) -> None:
        self._next = next_
        self._ledger = ledger
        self._worst_of = worst_of
        self._worst_of_cut = worst_of_cut
        self._clock = clock
        self._notes = notes
        self._book = book
        self._closed = closed
        self._counts_unpriced = counts_unpriced

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """Pass the call on with its worst case reserved; raises `BudgetExhausted` without room."""
        if self._ledger.budgets or call.max_cost_nano_usd is not None:
            return self._paid(call)
        if self._book is not None:
            return self._recorded(call, self._book)
        return self._next(call)

    async def _recorded(self, call: Call, book: Book) -> Reply:
        """Have it in the record of use, which nobody waits for."""
        seen = watch()
        try:
            reply = await self._next(call)
        except BaseException:
            self._record(call, book, seen, None)
            raise
        reply.on_end(partial(self._record, call, book, seen))
        return reply

    def _record(self, call: Call, book: Book, seen: Watch, outcome: Outcome | None) -> None:
        if outcome is not None or _billed(seen.attempt):  # An answer may be free, and is one.
            whole = outcome is not None and outcome.ending is Ending.COMPLETED
            book.record(self._actual(call, self._worst_of, seen.attempt, whole=whole)[1])

    async def _paid(self, call: Call) -> Reply:
        worst = self._worst_of(call)
        self._bound(call, worst)
        facts = Facts(call.tenant, call.route.name, call.labels)
        reservation = self._ledger.reserve(facts, worst, self._clock.wall())
        if isinstance(reservation, Refusal):
            raise self._refusal(call, reservation)
        call.trail.charged_nano_usd += worst.nano_usd or 0
        seen = watch()
        try:
            if self._book is not None and reservation.charges:
                await self._keep(self._book, call, reservation)
            reply = await self._next(call)
        except BaseException:
            self._failed(call, reservation, seen.attempt)
            raise
        reply.on_end(partial(self._ended, call, reservation, seen))
        return reply

    async def _keep(self, book: Book, call: Call, reservation: Reservation) -> None:
        """Have it written down before anything is sent."""
        try:
            await book.reserved(_holding(call, reservation))
        except LedgerFailed as failed:
            if self._closed:
                why = f"budgets can't be kept, so nothing is spent: {failed}"
                target = call.target.name
                raise BudgetExhausted(why, retry_after_s=_OUT_S, target=target) from None

    def _bound(self, call: Call, worst: Amounts) -> None:
        """Keep all attempts of the call within what it may cost."""
        most = call.max_cost_nano_usd
        if most is None or (worst.nano_usd is None and not self._counts_unpriced):
            return
        target = call.target.name
        if worst.nano_usd is None:
            raise self._told(call, f"the price of {target} isn't known", _MAX_COST)
        if call.trail.charged_nano_usd + worst.nano_usd > most:
            left = most - call.trail.charged_nano_usd
            may = f"an attempt at {target} may cost {worst.nano_usd:,} nano-US-dollars"
            raise self._told(call, f"{may}, and the call may cost {left:,} more", _MAX_COST)

    def _told(
        self,
        call: Call,
        why: str,
        budget: str,
        *,
        moves_on: bool = True,
        retry_after_s: float | None = None,
    ) -> BudgetExhausted:
        target = call.target.name
        self._notes(
            BudgetRefused(call.request_id, call.tenant, call.route.name, target, budget, why)
        )
        return BudgetExhausted(
            f"{budget}: {why}",
            budget=budget,
            moves_on=moves_on,
            retry_after_s=retry_after_s,
            target=target,
        )

    def _refusal(self, call: Call, refusal: Refusal) -> BudgetExhausted:
        budget, target = refusal.budget, call.target.name
        if refusal.need is None:
            why = f"the price of {target} isn't known, and dollars are limited"
        elif refusal.at is None:
            need = amount_text(budget.unit, refusal.need)
            why = f"an attempt at {target} may take {need}, which is more than the whole budget"
        else:
            need = amount_text(budget.unit, refusal.need)
            why = f"there is no room for an attempt at {target}, which may take {need}"
        wait_s = None if refusal.at is None else max(refusal.at - self._clock.wall(), 0.001)
        return self._told(call, why, budget.name, moves_on=refusal.steps_down, retry_after_s=wait_s)

    def _failed(self, call: Call, reservation: Reservation, attempt: Attempt | None) -> None:
        """Settle an attempt that showed nothing."""
        if _billed(attempt):
            self._settle(call, reservation, attempt, whole=False)
            return
        self._ledger.release(reservation)
        call.trail.charged_nano_usd -= reservation.worst.nano_usd or 0
        if self._book is not None and reservation.charges:
            self._book.ended(reservation.number, (), None)

    def _ended(self, call: Call, reservation: Reservation, seen: Watch, outcome: Outcome) -> None:
        """Settle an attempt that committed, when its handler has said what it cost."""
        whole = outcome.ending is Ending.COMPLETED
        self._settle(call, reservation, seen.attempt, whole=whole)

    def _settle(
        self, call: Call, reservation: Reservation, attempt: Attempt | None, *, whole: bool
    ) -> None:
        worst = reservation.worst
        actual, used = self._actual(call, lambda _: worst, attempt, whole=whole)
        balances = self._ledger.settle(reservation, actual)
        call.trail.charged_nano_usd += used.nano_usd - (worst.nano_usd or 0)
        if self._book is not None:
            self._book.ended(reservation.number, balances, used)

    def _actual(
        self,
        call: Call,
        worst_of: Callable[[Call], Amounts],
        attempt: Attempt | None,
        *,
        whole: bool,
    ) -> tuple[Amounts, Used]:
        """Return what an attempt that was sent cost, as far as that is known, else at most."""
        cost = None if attempt is None else attempt.cost_nano_usd
        usage = None if attempt is None else attempt.usage
        known = usage is not None and (cost is not None or (whole and usage.certain))
        if usage is not None and known:
            amounts = Amounts(worst_of(call).nano_usd if cost is None else cost, tokens_of(usage))
        else:
            worst = worst_of(call)
            most = worst if usage is None else self._cut(call, usage, worst)
            amounts = Amounts(most.nano_usd if cost is None else cost, most.tokens)
        guessed = int(not known or cost is None)
        return amounts, _used(call, usage or Usage(), amounts.nano_usd or 0, guessed)

    def _cut(self, call: Call, usage: Usage, worst: Amounts) -> Amounts:
        """Return the most that an attempt cost which broke off."""
        most = self._worst_of_cut(call, usage)
        if most is None:
            return worst
        return Amounts(worst.nano_usd if most.nano_usd is None else most.nano_usd, most.tokens)

    def __repr__(self) -> str:
        return f"<Spend, {self._ledger!r}>"


def _billed(attempt: Attempt | None) -> bool:
    """Whether an attempt was sent, and may have cost something."""
    return attempt is not None and attempt.cost_nano_usd != 0


def tokens_of(usage: Usage) -> int:
    """Return all tokens that were used, of input and output, cached or not, for whatever step."""
    own = usage.input_tokens + usage.output_tokens
    own += usage.cache_read_tokens + usage.cache_write_tokens
    return own + sum([tokens_of(apart) for _, apart in usage.apart])


def _used(call: Call, usage: Usage, nano_usd: int, guessed: int) -> Used:
    used = Used(
        call.tenant,
        call.route.name,
        call.target.name,
        1,
        guessed,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        nano_usd,
    )
    for _, apart in usage.apart:  # The cost is of these steps, too.
        used = used.plus(_used(call, apart, 0, 0)._replace(calls=0))
    return used


def _holding(call: Call, reservation: Reservation) -> Holding:
    amounts = tuple(
        [
            Balance(budget.identity, own.values, slot.span.start, amount, own.until(slot))
            for budget, own, slot, amount in reservation.charges
        ]
    )
    used = _used(call, Usage(), reservation.worst.nano_usd or 0, 1)
    return Holding(reservation.number, amounts, used)
