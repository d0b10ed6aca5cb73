"""State machines under new settings: each goes on with what it knows, as far as that fits."""

import dataclasses

import pytest

from sidecard.core.call import Priority
from sidecard.core.ledger import Balance
from sidecard.core.rate_limits import Allowance, RateLimits
from sidecard.policy.admission import Admission, AdmissionPolicy, Ticket
from sidecard.policy.breaker import Breaker, BreakerPolicy, Permit
from sidecard.policy.budget import Amounts, Budget, Facts, Unit
from sidecard.policy.budget_window import Per, Rolling
from sidecard.policy.concurrency import AdaptivePolicy
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.keyed import Keyed
from sidecard.policy.ledger import Crossed, Ledger, Refusal, Reservation
from sidecard.policy.need import Need
from sidecard.policy.retry_budget import RetryBudget

NOW = 1_000.0
WALL = 1_790_000_000.0
FACTS = Facts("acme", "default")


def asked(breaker: Breaker, now: float = NOW) -> Permit:
    permit = breaker.ask(now)
    assert isinstance(permit, Permit)
    return permit


def tripped(policy: BreakerPolicy) -> Breaker:
    breaker = Breaker(policy, chance=lambda: 0.5)
    for _ in range(policy.minimum_calls):
        breaker.failed(asked(breaker), NOW)
    assert breaker.state.value == "open"
    return breaker


# --- Keyed -----------------------------------------------------------------------------------


def test_states_are_inherited_and_adapted() -> None:
    """Who stays has its state, who goes keeps it in passing, and who comes gets its own."""
    before = Keyed[list[str]](lambda name: [name], kept=["stays", "goes"])
    stays, goes, passing = before("stays"), before("goes"), before("passing")
    after = Keyed[list[str]](lambda name: [f"new {name}"], kept=["stays", "comes"])
    after.inherit(before, lambda name, state: state.append(f"adapted {name}"))
    assert after("stays") is stays
    assert after("goes") is goes
    assert after("passing") is passing
    assert stays == ["stays", "adapted stays"]
    assert after("comes") == ["new comes"]
    assert repr(after) == "<Keyed, 2 configured, 2 others>"


# --- Breaker ---------------------------------------------------------------------------------


def test_a_breaker_keeps_its_window() -> None:
    """With a stricter rate, what was counted before trips it at the next failure."""
    breaker = Breaker(BreakerPolicy(failure_rate=1.0), chance=lambda: 0.5)
    for _ in range(10):
        breaker.failed(asked(breaker), NOW)
        breaker.succeeded(asked(breaker), NOW)
    breaker.adopt(BreakerPolicy(failure_rate=0.4), NOW)
    assert breaker.status(NOW)["calls"] == 20
    assert breaker.state.value == "closed"
    breaker.failed(asked(breaker), NOW)
    assert breaker.state.value == "open"


def test_an_open_breaker_stays_open_for_no_longer_than_may_be_now() -> None:
    """A new policy opens no door by itself, and cuts a time that is beyond its longest."""
    breaker = tripped(BreakerPolicy(open_s=60.0, open_jitter=0.0))
    breaker.adopt(BreakerPolicy(open_s=1.0, max_open_s=5.0, open_jitter=0.0), NOW)
    assert breaker.state.value == "open"
    assert breaker.open_until == NOW + 5.0


def test_fewer_probes_may_have_ended_already() -> None:
    """A half-open breaker whose probes are enough now is closed, and isn't stuck."""
    breaker = tripped(BreakerPolicy(probes=3))
    later = NOW + 60.0
    for _ in range(2):
        breaker.succeeded(asked(breaker, later), later)
    assert breaker.state.value == "half_open"
    breaker.adopt(BreakerPolicy(probes=2), later)
    assert breaker.state.value == "closed"


def test_a_new_mode_is_in_force_at_once() -> None:
    """What is forced open refuses, and works again when that is taken back."""
    breaker = Breaker(BreakerPolicy(), chance=lambda: 0.5)
    breaker.adopt(BreakerPolicy(mode="forced_open"), NOW)
    assert not isinstance(breaker.ask(NOW), Permit)
    breaker.adopt(BreakerPolicy(), NOW)
    asked(breaker)


def test_another_window_begins_empty() -> None:
    """Calls that were counted in slices can't be told one by one."""
    breaker = Breaker(BreakerPolicy(), chance=lambda: 0.5)
    breaker.failed(asked(breaker), NOW)
    breaker.adopt(BreakerPolicy(window="count"), NOW)
    assert breaker.status(NOW)["calls"] == 0


# --- Gate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "room"), [(200, 150), (60, 10), (20, 0), (None, None)])
def test_a_gate_keeps_its_level_as_far_as_it_fits(limit: int | None, room: int | None) -> None:
    """Of fifty taken all count under a limit that has room for them, and none is owed else."""
    gate = Gate(LimitsPolicy(requests_per_minute=100))
    held = [gate.take(Need(1), NOW) for _ in range(50)]
    gate.adopt(LimitsPolicy(requests_per_minute=limit), NOW)
    told = gate.status(NOW).get("requests")
    assert (told["room"] if isinstance(told, dict) else told) == room
    assert gate.unlimited is (limit is None)
    for reservation in held:
        gate.unsent(reservation, NOW)
    assert gate.status(NOW)["in_flight"] == 0


def test_a_lower_limit_of_the_upstream_holds_on() -> None:
    """What is configured above what headers told changes nothing."""
    gate = Gate(LimitsPolicy(requests_per_minute=100))
    gate.heard(None, RateLimits(requests=Allowance(limit=10, remaining=4)), NOW)
    gate.adopt(LimitsPolicy(requests_per_minute=50), NOW)
    assert gate.status(NOW)["requests"] == {"per_minute": 10, "room": 4, "from_headers": True}
    gate.adopt(LimitsPolicy(requests_per_minute=5), NOW)
    assert gate.status(NOW)["requests"] == {"per_minute": 5, "room": 0, "from_headers": False}


def test_a_closed_gate_opens_when_the_longest_time_is_over() -> None:
    """A shorter longest time holds for the one that runs, too."""
    gate = Gate(LimitsPolicy(longest_closed_s=60))
    gate.close(60, NOW)
    gate.adopt(LimitsPolicy(longest_closed_s=5), NOW)
    assert gate.wait_s(Need(1), NOW) == pytest.approx(5)


# --- Admission -------------------------------------------------------------------------------


def enter(admission: Admission) -> Ticket:
    place = admission.enter("acme", Priority.INTERACTIVE, NOW + 100, NOW)
    assert isinstance(place, Ticket)
    return place


def test_more_permits_let_in_who_waits() -> None:
    """Nobody waits for a permit that there is now."""
    admission = Admission(AdmissionPolicy(in_flight=1))
    _, waiting = enter(admission), enter(admission)
    assert admission.adopt(AdmissionPolicy(in_flight=2), NOW) == [waiting]
    assert admission.in_flight == 2


def test_fewer_permits_take_none_away() -> None:
    """Who runs goes on; the next is let in when there are less than there may be."""
    admission = Admission(AdmissionPolicy(in_flight=3))
    running = [enter(admission) for _ in range(3)]
    waiting = enter(admission)
    assert admission.adopt(AdmissionPolicy(in_flight=1, queue=0), NOW) == []
    assert [admission.leave(ticket, NOW) for ticket in running] == [[], [], [waiting]]


def test_an_adaptive_limit_keeps_what_it_learned() -> None:
    """A higher bound doesn't throw away that the upstream couldn't take more."""
    admission = Admission(AdmissionPolicy(in_flight=100, adaptive=AdaptivePolicy()))
    admission.leave(enter(admission), NOW, overloaded=True)
    assert admission.limit == 90
    admission.adopt(AdmissionPolicy(in_flight=200, adaptive=AdaptivePolicy()), NOW)
    assert admission.limit == 90
    admission.adopt(AdmissionPolicy(in_flight=50, adaptive=AdaptivePolicy()), NOW)
    assert admission.limit == 50
    admission.adopt(AdmissionPolicy(in_flight=70), NOW)
    assert admission.limit == 70


# --- Ledger ----------------------------------------------------------------------------------


def a_budget(limit: int = 100, name: str = "all") -> Budget:
    return Budget(name, Unit.TOKENS, limit, Rolling(Per.DAY))


def spend(ledger: Ledger, tokens: int) -> Refusal | None:
    found = ledger.reserve(FACTS, Amounts(None, tokens), WALL)
    if isinstance(found, Reservation):
        ledger.settle(found, Amounts(None, tokens))
        return None
    return found


def test_a_budget_keeps_what_was_spent() -> None:
    """A raised limit has room for the difference, a lowered one for nothing."""
    ledger = Ledger([a_budget(100)])
    assert spend(ledger, 100) is None
    ledger.adopt([a_budget(120)], WALL, counts_unpriced=True)
    assert spend(ledger, 20) is None
    assert spend(ledger, 1) is not None
    ledger.adopt([a_budget(50)], WALL, counts_unpriced=True)
    assert spend(ledger, 1) is not None


def test_what_is_reserved_is_settled_under_the_next_budgets() -> None:
    """An attempt on its way counts in the account that it reserved in, whatever comes between."""
    ledger = Ledger([a_budget(100)])
    held = ledger.reserve(FACTS, Amounts(None, 80), WALL)
    assert isinstance(held, Reservation)
    ledger.adopt([a_budget(100), a_budget(1_000, "other")], WALL, counts_unpriced=True)
    assert spend(ledger, 30) is not None
    ledger.settle(held, Amounts(None, 60))
    assert spend(ledger, 40) is None
    assert ledger.open == 0


def test_a_budget_that_comes_back_goes_on() -> None:
    """To take a budget away for a moment gives nobody its money again; meanwhile it is kept."""
    ledger = Ledger([a_budget(100)])
    spend(ledger, 100)
    ledger.adopt([], WALL, counts_unpriced=True)
    assert ledger.budgets == ()
    assert spend(ledger, 1_000) is None
    assert [balance.spent for balance in ledger.balances()] == [100]
    ledger.adopt([a_budget(100)], WALL, counts_unpriced=True)
    assert spend(ledger, 1) is not None


def test_a_new_budget_finds_what_an_earlier_process_spent() -> None:
    """What was kept of a budget that nobody configured counts when somebody does."""
    ledger = Ledger([])
    slot = int(WALL // 3600) * 3600
    ledger.load([Balance(a_budget().identity, (), slot, 95, slot + 2 * 86_400)], WALL)
    assert len(ledger.foreign) == 1
    ledger.adopt([a_budget(100)], WALL, counts_unpriced=True)
    assert ledger.foreign == []
    assert spend(ledger, 10) is not None


def test_what_was_not_spent_after_all_is_there_again() -> None:
    """Of a budget that there is, of one that is away, and of one that nobody has; but no more."""
    ledger = Ledger([a_budget(100)])
    spend(ledger, 60)
    [kept] = ledger.balances()
    foreign = kept._replace(identity="away")
    ledger.load([foreign], WALL)
    old = kept._replace(start=kept.start - 7 * 86_400)
    given = [kept._replace(spent=50), foreign._replace(spent=70), old]
    changed = ledger.give_back([*given, kept._replace(values=("nobody",), identity="unknown")])
    assert [(b.identity, b.spent) for b in changed] == [(kept.identity, 10), ("away", 0)]
    assert spend(ledger, 90) is None
    ledger.adopt([], WALL, counts_unpriced=True)
    [balance] = ledger.give_back([kept._replace(spent=1_000)])
    assert balance.spent == 0


def test_of_another_limit_the_thresholds_are_told_anew() -> None:
    """Half of the new limit is news, though all of the old one was told."""
    told: list[Crossed] = []
    ledger = Ledger([a_budget(100)], crossed=told.append)
    spend(ledger, 100)
    ledger.adopt([dataclasses.replace(a_budget(), limit=1_000)], WALL, counts_unpriced=True)
    spend(ledger, 400)
    assert [(crossed.percent, crossed.spent) for crossed in told] == [
        *[(50, 100), (80, 100), (100, 100)],
        (50, 500),
    ]


# --- Retry budget ----------------------------------------------------------------------------


def test_the_retry_budget_keeps_its_window() -> None:
    """What was taken counts under a smaller share."""
    budget = RetryBudget(ratio=1.0, floor_per_s=0.0)
    for _ in range(10):
        budget.deposit(NOW)
    assert budget.withdraw(NOW)
    budget.adopt(0.1, 0.0)
    assert not budget.withdraw(NOW)
    budget.adopt(0.2, 0.0)
    assert budget.withdraw(NOW)
