"""The layer that spends, over an upstream whose bills the test knows."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sidecard.core.call import Call, Route, Target
from sidecard.core.errors import UpstreamUnavailable
from sidecard.core.handler import Handler
from sidecard.core.ledger import Balance, GiveBack, Holding, LedgerFailed, LeftOpen, Used
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Reply
from sidecard.core.trail import Attempt
from sidecard.layers.budget import Spend
from sidecard.policy.budget import Amounts, Budget, Unit
from sidecard.policy.budget_window import Per, Rolling
from sidecard.policy.ledger import Ledger
from tests.support.clock import ManualClock
from tests.support.script import a_call

if TYPE_CHECKING:
    import asyncio

DEAR, CHEAP = Target("claude-dear"), Target("claude-cheap")
ROUTE = Route("default", (DEAR, CHEAP), 1024)
WORST = {DEAR.name: 100, CHEAP.name: 10, "claude-test": 100}


class Bills:
    """Between the layer and a script: puts attempts on the trail, and prices whole answers.

    A token costs `price` nano-US-dollars. What `free` lists by message is not billed.
    """

    def __init__(
        self, next_: Handler, clock: ManualClock, free: Iterable[str] = (), price: int = 1
    ) -> None:
        self._next = next_
        self._clock = clock
        self._free = set(free)
        self._price = price

    async def __call__(self, call: Call) -> Reply:
        attempt = call.trail.begin(call.target.name, self._clock.now())
        try:
            reply = await self._next(call)
        except BaseException as error:
            attempt.error = getattr(error, "reason", "ABANDONED")
            attempt.cost_nano_usd = 0 if str(error) in self._free else None
            raise
        reply.amend(target=call.target.name, attempt=attempt)
        reply.on_end(partial(self._settle, attempt))
        return reply

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        attempt.usage = usage = outcome.usage
        if outcome.ending is Ending.COMPLETED and usage is not None and usage.certain:
            attempt.cost_nano_usd = self._price * (usage.input_tokens + usage.output_tokens)


class Notebook:
    """A `Book` in memory, which fails as long as `why` says so, and waits while it is `held`."""

    def __init__(self) -> None:
        self.why = ""
        self.open: dict[int, Holding] = {}
        self.balances: dict[tuple[str, tuple[str, ...], int], int] = {}
        self.used: list[Used] = []
        self.held: asyncio.Event | None = None

    async def reserved(self, holding: Holding) -> None:
        if self.held is not None:
            await self.held.wait()
        if self.why:
            raise LedgerFailed(self.why)
        self.open[holding.number] = holding

    def ended(self, number: int, balances: Iterable[Balance], used: Used | None) -> None:
        self.open.pop(number, None)
        for balance in balances:
            self.balances[balance.identity, balance.values, balance.start] = balance.spent
        if used is not None:
            self.used.append(used)

    def record(self, used: Used) -> None:
        self.used.append(used)

    @property
    def left_open(self) -> LeftOpen:
        return LeftOpen()

    async def release_left(self, give_back: GiveBack) -> LeftOpen:
        del give_back
        return LeftOpen()

    async def usage(self, query: object) -> list[Used]:
        del query
        return self.used

    async def flush(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class Bank:
    """A budget, unless it is `unlimited`, the layer over it, and what it noted."""

    def __init__(
        self,
        next_: Handler,
        *budgets: Budget,
        free: Sequence[str] = (),
        price: int = 1,
        unlimited: bool = False,
        **how: Any,  # the layer's own
    ) -> None:
        self.clock = ManualClock()
        self.ledger = Ledger(budgets or ([] if unlimited else [limited(1_000)]))
        self.notes: list[object] = []
        self.layer = Spend(
            Bills(next_, self.clock, free, price),
            ledger=self.ledger,
            worst_of=worst_of,
            clock=self.clock,
            notes=self.notes.append,
            **how,
        )

    def stands(self) -> list[tuple[int, int]]:
        """Return what is spent and reserved in each account."""
        return [(f.spent, f.reserved) for f in self.ledger.standings(self.clock.wall())]


def worst_of(call: Call) -> Amounts:
    """Return what is known of a target; of others there is no price."""
    return Amounts(WORST.get(call.target.name), 50)


def limited(limit: int, **changes: Any) -> Budget:  # as above
    """Return a budget of dollars for everything."""
    fields: dict[str, Any] = {"name": "all", "unit": Unit.DOLLARS, "window": Rolling(Per.HOUR)}
    return Budget(limit=limit, **{**fields, **changes})


def down(told: str = "down") -> UpstreamUnavailable:
    """Return the failure of an attempt."""
    return UpstreamUnavailable(told, target="claude-test")


async def ask(bank: Bank, **changes: object) -> None:
    """Make a call to its end."""
    await (await bank.layer(a_call(**changes))).message()
