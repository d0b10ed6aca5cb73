"""`Admission` beside its model: whatever is asked of the two, they do the same."""

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecard.core.call import Priority
from sidecard.policy.admission import (
    Admission,
    AdmissionPolicy,
    Displacement,
    Refusal,
    State,
    Ticket,
)
from tests.support.admission_model import Model

# Whole quarters of a second, so that both sides' sums are the same to the last bit.
SECONDS = st.integers(0, 12).map(lambda quarters: quarters / 4)
PICKS = st.integers(0, 5)
CALLS = st.tuples(
    st.sampled_from("aaabcd"), st.sampled_from(Priority), st.integers(0, 40).map(lambda n: n / 2)
)


class AdmissionMachine(RuleBasedStateMachine):
    """Few permits, few places, few tenants: so that every rule is met."""

    @initialize(
        in_flight=st.integers(1, 3),
        queue=st.integers(0, 7),
        aged_s=st.integers(0, 8),
        held_s=st.lists(SECONDS, max_size=12),
    )
    def begin(self, in_flight: int, queue: int, aged_s: int, held_s: list[float]) -> None:
        """Start, now and then as one that has seen calls come and go."""
        policy = AdmissionPolicy(in_flight, queue, aged_s)
        self.real = Admission(policy)
        self.model = Model(policy)
        self.now = 1_000.0
        self.tickets: list[Ticket] = []
        for seconds in held_s:
            self.enters("a", Priority.INTERACTIVE, 100.0)
            self.now += seconds
            self.leaves(0)

    @rule(calls=st.lists(CALLS, min_size=1, max_size=6), seconds=SECONDS)
    def calls_enter(self, calls: list[tuple[str, Priority, float]], seconds: float) -> None:
        for tenant, priority, within_s in calls:
            self.enters(tenant, priority, within_s)
        self.now += seconds

    @rule(picks=st.lists(PICKS, min_size=1, max_size=4), seconds=SECONDS)
    def calls_leave(self, picks: list[int], seconds: float) -> None:
        for pick in picks:
            self.leaves(pick)
        self.now += seconds

    @rule(pick=PICKS)
    def a_waiter_withdraws(self, pick: int) -> None:
        waiting = self.model.waiting
        if waiting:
            number = waiting[pick % len(waiting)].number
            self.model.withdraw(number)
            self.real.withdraw(self.tickets[number])

    def enters(self, tenant: str, priority: Priority, within_s: float) -> None:
        deadline = self.now + within_s
        told = self.model.enter(len(self.tickets), tenant, priority, deadline, self.now)
        place = self.real.enter(tenant, priority, deadline, self.now)
        if isinstance(place, Refusal):
            assert ("refused", place.why) == told
            assert 0.1 <= place.retry_after_s <= 60.0
            return
        displaced = None
        if isinstance(place, Displacement):
            displaced = self.tickets.index(place.displaced)
            assert place.displaced.state is State.LEFT
            place = place.ticket
        self.tickets.append(place)
        assert (place.state.value, displaced) == told

    def leaves(self, pick: int) -> None:
        running = self.model.running
        if running:
            number = running[pick % len(running)].number
            admitted = self.real.leave(self.tickets[number], self.now)
            assert [self.tickets.index(t) for t in admitted] == self.model.leave(number, self.now)

    @invariant()
    def they_agree(self) -> None:
        status = self.real.status()
        urgent = [e.urgent for e in self.model.waiting]
        assert status["in_flight"] == len(self.model.running) <= self.real.policy.in_flight
        assert (status["interactive"], status["batch"]) == (urgent.count(True), urgent.count(False))
        assert len(urgent) <= self.real.policy.queue
        assert not urgent or len(self.model.running) == self.real.policy.in_flight
        assert status["tenants"] == len(self.model.tenants)
        assert self.real.refused.total() == len(self.model.refused)

    def teardown(self) -> None:
        """Whatever was before, nothing is left when all have left."""
        while running := [t for t in self.tickets if t.state is State.ADMITTED]:
            self.real.leave(running[0], self.now)
        assert (self.real.in_flight, self.real.status()["tenants"]) == (0, 0)
        assert not any(t.state is State.QUEUED for t in self.tickets)


TestAdmission = AdmissionMachine.TestCase
# Reported as it is found: to shrink a failure takes longer than a test may.
TestAdmission.settings = settings(
    max_examples=120,
    stateful_step_count=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
