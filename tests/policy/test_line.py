"""`Line`: whose turn it is at a gate, and that who can't be served in time is told so."""

import itertools
from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.line import Answer, Line, Ticket
from sidecard.policy.need import Need, Reservation

NOW = 1_000.0
FOREVER = 10**9


class Told:
    """Who waits, and what they were told."""

    def __init__(
        self,
        line: Line,
        amount: int,
        until: float = FOREVER,
        *,
        tenant: str = "a",
        urgent: bool = True,
    ) -> None:
        self.answers: list[Answer] = []
        self.amount = amount
        self.tenant = tenant
        self.urgent = urgent
        self.ticket = Ticket(
            Need(1, amount), until, self.answers.append, tenant=tenant, urgent=urgent
        )
        line.join(self.ticket)

    @property
    def served(self) -> bool:
        return any(isinstance(answer, Reservation) for answer in self.answers)


def full_line(per_minute: int = 60) -> Line:
    """Return a line at a gate of input tokens that has no room just now."""
    gate = Gate(LimitsPolicy(input_tokens_per_minute=per_minute))
    gate.take(Need(1, per_minute), NOW)
    return Line(gate)


def test_a_large_one_is_not_passed_by_small_ones() -> None:
    """Small ones that would fit wait until the large one before them is through."""
    line = full_line()
    large, small = Told(line, 40), [Told(line, 1) for _ in range(20)]
    assert line.advance(NOW + 30) == 10
    assert not any(told.served for told in small)
    assert line.advance(NOW + 40) == 1
    assert large.served
    assert not any(told.served for told in small)
    assert line.advance(NOW + 60) is None
    assert all(told.served for told in small)


def test_who_comes_now_is_told_of_all_before() -> None:
    """The least wait counts those who stand in line, and no more those who left it."""
    line = full_line()
    first, second = Told(line, 10), Told(line, 20)
    assert line.wait_s(Need(1, 5), NOW, tenant="a") == 35
    line.leave(first.ticket)
    line.leave(first.ticket)
    assert line.wait_s(Need(1, 5), NOW, tenant="a") == 25
    assert (len(line), first.answers, second.answers) == (1, [], [])


def test_a_closed_gate_sheds_whom_it_makes_late() -> None:
    """Who can still be served stays, and isn't held up by those who are gone."""
    line = full_line()
    late, patient = Told(line, 30, until=NOW + 35), Told(line, 10, until=NOW + 70)
    line.shed(NOW)
    assert (late.answers, patient.answers) == ([], [])
    line.gate.close(50, NOW)
    line.shed(NOW)
    assert late.answers == [50]
    assert line.wait_s(Need(1, 5), NOW, tenant="a") == 50
    line.advance(NOW + 50)
    assert patient.served


def test_shedding_counts_those_who_stay_before() -> None:
    """Who comes after many has to wait for them too."""
    line = full_line()
    before = Told(line, 40)
    after = Told(line, 5, until=NOW + 30)
    line.shed(NOW)
    assert before.answers == []
    assert after.answers == [45]


def test_whose_time_is_over_is_refused() -> None:
    """Unless it is their turn at that very moment."""
    line = full_line()
    first, second = Told(line, 10, until=NOW + 10), Told(line, 20, until=NOW + 10)
    line.expire(second.ticket, NOW + 10)
    line.expire(first.ticket, NOW + 10)
    assert first.served
    assert second.answers == [20]
    assert len(line) == 0


def order(*told: Told, line: Line) -> list[str]:
    """Return the tenants in the order in which they are served, one a moment."""
    served: list[str] = []
    now, left = NOW, list(told)
    while left:
        wait_s = line.advance(now)
        done = [one for one in left if one.served]
        assert len(done) <= 1
        served += [one.tenant for one in done]
        left = [one for one in left if not one.served]
        now += wait_s or 0
    return served


def test_tenants_take_turns() -> None:
    """Who floods waits behind itself; others come after as many of its as they have themselves."""
    line = full_line()
    flood = [Told(line, 5, tenant="flood") for _ in range(6)]
    small = [Told(line, 5, tenant="small") for _ in range(2)]
    assert line.wait_s(Need(1, 5), NOW, tenant="other") == 15  # One of each, and its own.
    assert line.wait_s(Need(1, 5), NOW, tenant="flood") == 45
    other = Told(line, 5, tenant="other")
    assert order(*flood, *small, other, line=line) == [
        "flood", "small", "other", "flood", "small", "flood", "flood", "flood", "flood",
    ]  # fmt: skip


def test_interactive_ones_go_before_batch_ones() -> None:
    """Whenever they come, and whoever's they are."""
    line = full_line()
    nightly = [Told(line, 5, tenant="nightly", urgent=False) for _ in range(2)]
    assert line.wait_s(Need(1, 5), NOW, tenant="a") == 5
    urgent = Told(line, 5, tenant="a")
    assert line.wait_s(Need(1, 5), NOW, tenant="b", urgent=False) == 15
    assert order(*nightly, urgent, line=line) == ["a", "nightly", "nightly"]


def test_shedding_goes_by_turns() -> None:
    """Who comes later than others of its tenant is refused, and nobody else."""
    line = full_line()
    flood = [Told(line, 10, NOW + 30, tenant="flood") for _ in range(3)]
    small = Told(line, 10, NOW + 30, tenant="small")
    line.shed(NOW)
    assert [bool(one.answers) for one in (*flood, small)] == [False, False, True, False]
    assert flood[2].answers == [40]


class LineAgainstLists(RuleBasedStateMachine):
    """The model is a list for each priority: of pairs of a tenant and its waiters, in turn.

    Only the first of all may go, when a plain sum says that there is room.
    """

    LIMIT = 60

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.line = full_line(self.LIMIT)
        self.level = float(self.LIMIT)
        self.lanes: dict[bool, list[tuple[str, list[Told]]]] = {True: [], False: []}

    def waiting(self) -> list[Told]:
        return [one for lane in self.lanes.values() for _, those in lane for one in those]

    def serve(self) -> None:
        self.line.advance(self.now)
        while lane := self.lanes[True] or self.lanes[False]:
            tenant, those = lane[0]
            first = those[0].amount
            if self.level + min(first, self.LIMIT) > self.LIMIT + 1e-5:
                break
            self.level += first
            assert those.pop(0).served
            del lane[0]
            if those:
                lane.append((tenant, those))

    @rule(amount=st.integers(0, 90), tenant=st.sampled_from("abc"), urgent=st.booleans())
    def comes(self, amount: int, tenant: str, *, urgent: bool) -> None:
        lane = self.lanes[urgent]
        if tenant not in [name for name, _ in lane]:
            lane.append((tenant, []))
        told = Told(self.line, amount, tenant=tenant, urgent=urgent)
        next(those for name, those in lane if name == tenant).append(told)
        self.serve()

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.level = max(self.level - seconds, 0.0)
        self.serve()

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.waiting()))
        for lane in self.lanes.values():
            for _, those in lane:
                if gone in those:
                    those.remove(gone)
            lane[:] = [pair for pair in lane if pair[1]]
        self.line.leave(gone.ticket)
        self.serve()
        assert gone.answers == []

    @invariant()
    def nobody_else_was_served(self) -> None:
        assert not any(told.answers for told in self.waiting())
        assert len(self.line) == len(self.waiting())

    @invariant()
    def the_wait_is_never_told_too_long(self) -> None:
        """And to the second, where one tenant is alone with calls of one priority."""
        for urgent, tenant in itertools.product((True, False), "abcd"):
            wait_s = self.line.wait_s(Need(1, 1), self.now, tenant=tenant, urgent=urgent)
            before = sum(self.before(tenant, urgent=urgent))
            real_s = max(self.level + before + 1 - self.LIMIT, 0.0)
            assert wait_s < real_s + 1e-5
            if {(told.tenant, told.urgent) for told in self.waiting()} <= {(tenant, urgent)}:
                assert wait_s > real_s - 1e-5

    def before(self, newcomer: str, *, urgent: bool) -> Iterator[int]:
        """Return the amounts of all who are served before a newcomer."""
        lanes: dict[bool, list[tuple[str, list[Told | None]]]] = {
            lane: [(name, list(those)) for name, those in self.lanes[lane]] for lane in self.lanes
        }
        lane = lanes[urgent]
        if newcomer not in [name for name, _ in lane]:
            lane.append((newcomer, []))
        last = next(those for name, those in lane if name == newcomer)
        last.append(None)
        while lane := lanes[True] or lanes[False]:
            tenant, those = lane.pop(0)
            first = those.pop(0)
            if first is None:
                return
            yield first.amount
            if those:
                lane.append((tenant, those))


TestLineAgainstLists = LineAgainstLists.TestCase
TestLineAgainstLists.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
