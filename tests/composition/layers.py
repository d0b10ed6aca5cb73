"""Each layer of the stack, active, and how to see that it holds nothing any more."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from sidecard.core.call import Call
from sidecard.core.handler import Handler
from sidecard.core.outcome import Outcome
from sidecard.core.reply import Head, Reply
from sidecard.layers.admit import Admit
from sidecard.layers.answers import Answers
from sidecard.layers.bound import Bound
from sidecard.layers.breaker import Break
from sidecard.layers.budget import Spend
from sidecard.layers.coalesce import Coalesce
from sidecard.layers.exact_cache import ExactCache
from sidecard.layers.fallback import Fallback
from sidecard.layers.hedge import Hedge
from sidecard.layers.observe import Observe
from sidecard.layers.rate_limit import RateLimit
from sidecard.layers.rescue import Rescue
from sidecard.layers.retry import Retry
from sidecard.layers.structured import Structured
from sidecard.policy.admission import AdmissionPolicy
from sidecard.policy.backoff import RetryPolicy
from sidecard.policy.breaker import Breaker, BreakerPolicy, Permit, Refusal
from sidecard.policy.budget import Amounts, Budget, Unit
from sidecard.policy.budget_window import Per, Rolling
from sidecard.policy.estimator import Estimator
from sidecard.policy.fingerprint import Fingerprints
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.hedge import HedgePolicy
from sidecard.policy.keeping import KeepingPolicy
from sidecard.policy.keyed import Keyed
from sidecard.policy.latency import LatencyQuantiles
from sidecard.policy.ledger import Ledger
from sidecard.policy.retry_budget import RetryBudget
from sidecard.policy.structured import StructuredPolicy
from sidecard.store.memory import MemoryStore
from tests.support.clock import ManualClock
from tests.support.judging import HereJudge

HEDGE_S: Final = 5.0


class Watched(Breaker):
    """A breaker that knows which of its permits are out."""

    def __init__(self, policy: BreakerPolicy) -> None:
        super().__init__(policy, chance=lambda: 0.5)
        self._given: set[Permit] = set()

    def ask(self, now: float) -> Permit | Refusal:
        answer = super().ask(now)
        if isinstance(answer, Permit):
            self._given.add(answer)
        return answer

    @property
    def out(self) -> int:
        return sum(not permit.settled for permit in self._given)


class Parts:
    """What the layers of one test share: a clock, policies that bite, and what was noted.

    `ends` are the ends that `Observe` told, by the call's request id.
    """

    def __init__(self, clock: ManualClock, **changes: object) -> None:
        self.clock = clock
        self.notes: list[Any] = []
        self.ends = defaultdict[str, list[Outcome]](list)
        breaker = {"minimum_calls": 2, "failure_rate": 1.0, "probes": 1, "open_jitter": 0.0}
        policy = BreakerPolicy(**{**breaker, **changes})  # type: ignore[arg-type]
        self.breakers = Keyed(lambda _: Watched(policy))
        limits = LimitsPolicy(600, 1_000_000, 1_000_000)
        self.gates = Keyed(lambda _: Gate(limits))
        self.budget = RetryBudget(ratio=0.2, floor_per_s=1.0)
        self.times = Keyed(lambda _: LatencyQuantiles())
        self.retry = RetryPolicy(max_attempts=2, base_s=1.0, max_delay_s=1.0)
        self.ledger = Ledger([Budget("all", Unit.DOLLARS, 1_000_000, Rolling(Per.HOUR))])
        self.places = AdmissionPolicy(in_flight=4, queue=2)


class Sent:
    """The innermost handler: makes a script's acts attempts that are on the trail."""

    def __init__(self, next_: Handler, clock: ManualClock) -> None:
        self._next = next_
        self._clock = clock

    async def __call__(self, call: Call) -> Reply:
        attempt = call.trail.begin(call.target.name, self._clock.now())
        try:
            reply = await self._next(call)
        except BaseException as error:
            attempt.error = getattr(error, "reason", "ABANDONED")
            raise
        finally:
            attempt.duration_s = self._clock.now() - attempt.began
        reply.amend(target=call.target.name, attempt=attempt)
        return reply


class Made(NamedTuple):
    """A layer, and what it still holds: a number that has to be 0 when nothing is open."""

    layer: Handler
    held: Callable[[], int]


Maker: TypeAlias = Callable[[Handler, Parts], Made]


def observe(next_: Handler, parts: Parts) -> Made:
    def sink(call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        del head, began
        parts.ends[call.request_id].append(outcome)

    layer = Observe(next_, sink=sink, clock=parts.clock)
    return Made(layer, lambda: layer.open)


def exact_cache(next_: Handler, parts: Parts) -> Made:
    answers = Answers(
        MemoryStore(max_bytes=1 << 20),
        policy_of=lambda _: KeepingPolicy(),
        fingerprint_of=Fingerprints(),
        clock=parts.clock,
        chance=lambda: 0.5,
    )
    return Made(ExactCache(next_, answers=answers, clock=parts.clock), lambda: 0)


def coalesce(next_: Handler, parts: Parts) -> Made:
    layer = Coalesce(next_, clock=parts.clock)
    return Made(layer, lambda: layer.flights)


def structured(next_: Handler, parts: Parts) -> Made:
    layer = Structured(
        next_,
        HereJudge(),
        policies=lambda _: StructuredPolicy(),
        clock=parts.clock,
        notes=parts.notes.append,
    )
    return Made(layer, lambda: 0)


def bound(next_: Handler, _: Parts) -> Made:
    return Made(Bound(next_, estimator=Estimator(), priced=lambda _: True), lambda: 0)


def admit(next_: Handler, parts: Parts) -> Made:
    layer = Admit(
        next_, policies={}, shared=parts.places, clock=parts.clock, notes=parts.notes.append
    )
    places = layer.bulkheads()[""]

    def held() -> int:
        told = places.status()
        queued = sum(int(str(told[lane])) for lane in ("interactive", "batch", "tenants"))
        return places.in_flight + queued + len(layer._waiters)

    return Made(layer, held)


def rescue(next_: Handler, parts: Parts) -> Made:
    return Made(Rescue(next_, clock=parts.clock, notes=parts.notes.append), lambda: 0)


def fallback(next_: Handler, parts: Parts) -> Made:
    return Made(Fallback(next_, clock=parts.clock, notes=parts.notes.append), lambda: 0)


def retry(next_: Handler, parts: Parts) -> Made:
    layer = Retry(
        next_,
        policies=lambda _: parts.retry,
        budget=parts.budget,
        latency_of=parts.times,
        clock=parts.clock,
        notes=parts.notes.append,
        chance=lambda: 0.5,
    )
    return Made(layer, lambda: layer.waiting)


def hedge(next_: Handler, parts: Parts) -> Made:
    layer = Hedge(
        next_,
        policies=lambda _: HedgePolicy(enabled=True, delay_s=HEDGE_S),
        budget=parts.budget,
        latency_of=parts.times,
        clock=parts.clock,
        notes=parts.notes.append,
    )
    return Made(layer, lambda: layer.hedging)


def spend(next_: Handler, parts: Parts) -> Made:
    layer = Spend(
        next_,
        ledger=parts.ledger,
        worst_of=lambda _: Amounts(1_000, 100),
        clock=parts.clock,
        notes=parts.notes.append,
    )

    def held() -> int:
        now = parts.clock.wall()
        return parts.ledger.open + sum(found.reserved for found in parts.ledger.standings(now))

    return Made(layer, held)


def guard(next_: Handler, parts: Parts) -> Made:
    layer = Break(next_, breaker_of=parts.breakers, usual_s=lambda _: None, clock=parts.clock)
    return Made(layer, lambda: sum(breaker.out for _, breaker in parts.breakers))


def rate_limit(next_: Handler, parts: Parts) -> Made:
    layer = RateLimit(next_, gate_of=parts.gates, notes=parts.notes.append, clock=parts.clock)

    def held() -> int:
        now = parts.clock.now()
        reserved = sum(int(str(gate.status(now)["in_flight"])) for _, gate in parts.gates)
        return reserved + len(layer._lines)

    return Made(layer, held)


STACK: Final[tuple[Maker, ...]] = (
    observe,
    exact_cache,
    coalesce,
    structured,
    bound,
    admit,
    rescue,
    fallback,
    retry,
    hedge,
    spend,
    guard,
    rate_limit,
)
"""The makers, the outermost first, as in `app.build_stack`."""


def stacked(next_: Handler, parts: Parts, *makers: Maker) -> Made:
    """Return those layers around `next_`, the first maker's outermost, as one."""
    held: list[Callable[[], int]] = []
    for make in reversed(makers):
        next_, holds = make(next_, parts)
        held.append(holds)
    return Made(next_, lambda: sum(holds() for holds in held))
