"""`Line`: first come, first served at a gate, and who can't be served in time is told so."""

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

    def __init__(self, line: Line, amount: int, until: float = FOREVER) -> None:
        self.answers: list[Answer] = []
        self.amount = amount
        self.ticket = Ticket(Need(1, amount), until, self.answers.append)
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
    assert line.wait_s(Need(1, 5), NOW) == 35
    line.leave(first.ticket)
    line.leave(first.ticket)
    assert line.wait_s(Need(1, 5), NOW) == 25
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
    assert line.wait_s(Need(1, 5), NOW) == 50
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


class LineAgainstList(RuleBasedStateMachine):
    """The model is a list: only its first may go, when a plain sum says that there is room."""

    LIMIT = 60

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.line = full_line(self.LIMIT)
        self.level = float(self.LIMIT)
        self.waiting: list[Told] = []

    def serve(self) -> None:
        self.line.advance(self.now)
        while self.waiting:
            first = self.waiting[0].amount
            if self.level + min(first, self.LIMIT) > self.LIMIT + 1e-5:
                break
            self.level += first
            assert self.waiting.pop(0).served

    @rule(amount=st.integers(0, 90))
    def comes(self, amount: int) -> None:
        self.waiting.append(Told(self.line, amount))
        self.serve()

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.level = max(self.level - seconds, 0.0)
        self.serve()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        gone = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.line.leave(gone.ticket)
        self.serve()
        assert gone.answers == []

    @invariant()
    def nobody_else_was_served(self) -> None:
        assert not any(told.answers for told in self.waiting)
        assert len(self.line) == len(self.waiting)

    @invariant()
    def the_wait_counts_all_of_them(self) -> None:
        ahead = sum(told.amount for told in self.waiting)
        wait_s = max(self.level + ahead + 1 - self.LIMIT, 0.0)
        assert abs(self.line.wait_s(Need(1, 1), self.now) - wait_s) < 1e-5


TestLineAgainstList = LineAgainstList.TestCase
TestLineAgainstList.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
