"""What one decision of a policy costs, in this process: each as an attempt makes it.

A decision is timed in a loop that hands it the moment, as a layer would; the floor is
a function that does nothing, in the same loop a moment before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from time import process_time_ns
from typing import Final, TypeAlias

from sidecard.core.call import Priority
from sidecard.core.errors import UpstreamUnavailable
from sidecard.policy.admission import Admission, AdmissionPolicy, Displacement, Refusal, Ticket
from sidecard.policy.backoff import RetryPolicy, verdict
from sidecard.policy.breaker import Breaker, BreakerPolicy, Permit
from sidecard.policy.concurrency import AdaptiveLimit, AdaptivePolicy
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.latency import LatencyQuantiles
from sidecard.policy.line import Line
from sidecard.policy.line import Ticket as LineTicket
from sidecard.policy.need import Need
from sidecard.policy.retry_budget import RetryBudget
from tests.bench import payload
from tests.bench.questions import USAGE, a_call, allowances

Decide: TypeAlias = Callable[[float], object]

_REPEATS: Final = 9
MOST_LOOPS: Final = 2_000
_BEGAN: Final = 1_000.0
_STEP_S: Final = 0.001
"""Between two decisions, so that windows turn as they do under load."""
_WAITING: Final = 1_000
_TENANTS: Final = 100
_SOME_S: Final = 0.25
_FAR_S: Final = 1e9
_PLENTY: Final = 10**9


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that a policy decides, and what makes it so that it can be made again and again."""

    key: str
    make: Callable[[], Decide]
    decisions: int = 1
    """How many there are in it: their mean counts."""


def cost_us(loops: int) -> Iterator[tuple[str, float, float]]:
    """Yield of each decision its key, its microseconds, and those of doing nothing meanwhile."""
    for decision in DECISIONS:
        decide, now = decision.make(), _BEGAN
        own, floor = [], []
        for _ in range(_REPEATS):
            floor.append(_timed(_nothing, now, loops))
            own.append(_timed(decide, now, loops))
            now += loops * _STEP_S
        yield decision.key, median(own) / decision.decisions, median(floor)


def _timed(decide: Decide, now: float, loops: int) -> float:
    began = process_time_ns()
    for _ in range(loops):
        now += _STEP_S
        decide(now)
    return (process_time_ns() - began) / loops / 1e3


def _nothing(now: float) -> None:
    pass


def _breaker() -> Decide:
    breaker = Breaker(BreakerPolicy(), chance=_half)

    def attempt(now: float) -> None:
        permit = breaker.ask(now)
        assert type(permit) is Permit
        breaker.succeeded(permit, now)

    return attempt


def _gate() -> Gate:
    return Gate(LimitsPolicy(_PLENTY, _PLENTY, _PLENTY))


def _passes() -> Decide:
    gate, call = _gate(), a_call()

    def passes(now: float) -> None:
        need = gate.need(call)
        assert not gate.wait_s(need, now)
        gate.take(need, now)

    return passes


def _told() -> Decide:
    gate, limits = _gate(), allowances()
    reservation = gate.take(gate.need(a_call()), _BEGAN)
    return lambda now: gate.answered(reservation, limits, now)


def _settled() -> Decide:
    gate, call = _gate(), a_call()
    sent = [gate.take(gate.need(call), _BEGAN) for _ in range(MOST_LOOPS * _REPEATS)]
    return lambda now: gate.ended(sent.pop(), USAGE, now, whole=True)


def _whole_attempt() -> Decide:
    gate, call, limits = _gate(), a_call(), allowances()

    def attempt(now: float) -> None:
        need = gate.need(call)
        assert not gate.wait_s(need, now)
        reservation = gate.take(need, now)
        gate.answered(reservation, limits, now)
        gate.ended(reservation, USAGE, now, whole=True)

    return attempt


def _line() -> Decide:
    gate = Gate(LimitsPolicy(60, _PLENTY, _PLENTY))
    line, need = Line(gate), gate.need(a_call())
    gate.take(Need(60), _BEGAN)
    for _ in range(_WAITING):
        line.join(LineTicket(need, _FAR_S, lambda _: None))

    def comes_and_goes(now: float) -> None:
        assert line.wait_s(need, now)
        ticket = LineTicket(need, _FAR_S, lambda _: None)
        line.join(ticket)
        line.leave(ticket)

    return comes_and_goes


def _admitted() -> Decide:
    admission = Admission(AdmissionPolicy())

    def admitted(now: float) -> None:
        ticket = admission.enter("default", Priority.INTERACTIVE, now + 60.0, now)
        assert type(ticket) is Ticket
        admission.leave(ticket, now + _SOME_S)

    return admitted


def _queued() -> Decide:
    """One enters, another leaves, and whose turn it is gets the permit: 1,000 wait all the time."""
    admission = Admission(AdmissionPolicy(in_flight=_TENANTS, queue=2 * _WAITING))
    running: list[Ticket] = []
    names = [f"tenant-{number}" for number in range(_TENANTS)]
    number = 0

    def enter(now: float) -> Ticket:
        nonlocal number
        number += 1
        priority = Priority.BATCH if number % 3 == 0 else Priority.INTERACTIVE
        place = admission.enter(names[number * 7 % _TENANTS], priority, _FAR_S + now, now)
        assert type(place) is Ticket
        return place

    def turn(now: float) -> None:
        enter(now)
        running.extend(admission.leave(running.pop(), now))

    running.extend([enter(_BEGAN) for _ in range(_TENANTS)])
    for _ in range(_WAITING):
        enter(_BEGAN)
    return turn


def _refused() -> Decide:
    """The queue of 1,000 is full, all of it of tenants that wait for as much as the newcomer."""
    admission = Admission(AdmissionPolicy(in_flight=_TENANTS, queue=_WAITING))
    for number in range(_TENANTS + _WAITING):
        admission.enter(f"tenant-{number % _TENANTS}", Priority.INTERACTIVE, _FAR_S, _BEGAN)

    def refused(now: float) -> None:
        place = admission.enter("tenant-7", Priority.INTERACTIVE, _FAR_S + now, now)
        assert type(place) is Refusal

    return refused


def _displaced() -> Decide:
    """The queue of 1,000 is full of one tenant's calls; another's takes a place and leaves it."""
    admission = Admission(AdmissionPolicy(in_flight=_TENANTS, queue=_WAITING))
    for number in range(_TENANTS + _WAITING):
        admission.enter("many", Priority.INTERACTIVE, _FAR_S + number, _BEGAN)

    def displaced(now: float) -> None:
        place = admission.enter("few", Priority.INTERACTIVE, _FAR_S + now, now)
        assert type(place) is Displacement
        admission.withdraw(place.ticket)
        admission.enter("many", Priority.INTERACTIVE, _FAR_S + now, now)

    return displaced


def _verdict() -> Decide:
    policy, error = RetryPolicy(), UpstreamUnavailable("overloaded", target=payload.MODEL)

    def again(now: float) -> None:
        verdict(
            policy, error, failed=1, left=5, now=now, deadline=now + 60.0, needs_s=1.0, chance=_half
        )  # fmt: skip

    return again


def _budget() -> Decide:
    budget = RetryBudget()

    def spends(now: float) -> None:
        budget.deposit(now)
        budget.withdraw(now)

    return spends


def _record() -> Decide:
    times = LatencyQuantiles()
    return lambda now: times.record(_SOME_S, now)


def _quantile() -> Decide:
    times = LatencyQuantiles()
    for number in range(1_000):
        times.record(0.1 + number / 100, _BEGAN)
    return lambda _: times.quantile(0.95)


def _adaptive() -> Decide:
    limit = AdaptiveLimit(AdaptivePolicy(), 1_024)

    def answered(now: float) -> int:
        limit.succeeded(now, began=now - _SOME_S, first_event_s=_SOME_S, in_flight=600)
        return limit.limit

    return answered


def _half() -> float:
    return 0.5


DECISIONS: Final = (
    Decision("breaker", _breaker, 2),
    Decision("gate_passes", _passes),
    Decision("gate_told", _told),
    Decision("gate_settled", _settled),
    Decision("gate_attempt", _whole_attempt),
    Decision("line_waits", _line, 2),
    Decision("admission_free", _admitted, 2),
    Decision("admission_queued", _queued, 2),
    Decision("admission_refused", _refused),
    Decision("admission_displaced", _displaced, 3),
    Decision("verdict", _verdict),
    Decision("retry_budget", _budget, 2),
    Decision("latency_record", _record),
    Decision("latency_quantile", _quantile),
    Decision("adaptive", _adaptive),
)
