"""`Gate` against a slow, obvious model of it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecard.core.event import Usage
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.need import Need, Reservation

NOW = 1_000.0
LIMITS = (12, 400, 300)


class GateAgainstEntries(RuleBasedStateMachine):
    """The model keeps every entry ever made, and walks through all of them for each question."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.gate = Gate(LimitsPolicy(*LIMITS, follow_headers=False))
        self.entries: list[tuple[float, tuple[int, int, int]]] = []
        self.open: list[tuple[Reservation, Need]] = []
        self.closed_until = 0.0

    def level(self, kind: int) -> float:
        level, at = 0.0, NOW
        for moment, amounts in [*self.entries, (self.now, (0, 0, 0))]:
            level = max(level - (moment - at) * LIMITS[kind] / 60, 0.0)
            level, at = max(level + amounts[kind], 0.0), moment
        return level

    def wait_s(self, need: Need) -> float:
        waits = [self.closed_until - self.now, 0.0]
        for kind, limit in enumerate(LIMITS):
            over = self.level(kind) + min(need[kind], limit) - limit
            waits.append(over * 60 / limit)
        return max(waits)

    def change(self, need: Need, used: tuple[int, int, int]) -> None:
        more = [mine - reserved for mine, reserved in zip(used, need, strict=False)]
        self.entries.append((self.now, (more[0], more[1], more[2])))

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(read=st.integers(0, 600), write=st.integers(0, 500))
    def asks(self, read: int, write: int) -> None:
        need = Need(1, read, write)
        wait_s = self.gate.wait_s(need, self.now)
        assert wait_s == pytest.approx(self.wait_s(need), abs=1e-5)
        if not wait_s:
            self.open.append((self.gate.take(need, self.now), need))
            self.entries.append((self.now, (1, read, write)))
            if self.closed_until:
                self.closed_until = max(self.closed_until, self.now + 1)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), how=st.sampled_from(["unsent", "refused", "failed", "ended", "broken"]))
    def settles(self, data: st.DataObject, how: str) -> None:
        reservation, need = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        read, written = data.draw(st.integers(1, 600)), data.draw(st.integers(0, 500))
        usage = Usage(input_tokens=read, output_tokens=written)
        if how == "unsent":
            self.gate.unsent(reservation, self.now)
            self.change(need, (0, 0, 0))
        elif how == "refused":
            self.gate.refused(reservation, self.now)
            self.change(need, (1, 0, 0))
        elif how == "failed":
            self.gate.failed(reservation, None, self.now)
            self.change(need, (1, need.input_tokens, 0))
        else:
            self.gate.ended(reservation, usage, self.now, whole=how == "ended")
            most = min(need.output_tokens, int((self.now - reservation.at) * 500) + 1)
            least = 0 if how == "ended" else most
            self.change(need, (1, read, max(written, least)))

    @rule(for_s=st.floats(1, 100))
    def closes(self, for_s: float) -> None:
        self.gate.close(for_s, self.now)
        self.closed_until = max(self.closed_until, self.now + min(for_s, 60))

    @invariant()
    def is_as_full(self) -> None:
        for kind, name in enumerate(("requests", "input_tokens", "output_tokens")):
            status = self.gate.status(self.now)[name]
            assert isinstance(status, dict)
            assert status["room"] == pytest.approx(LIMITS[kind] - self.level(kind), abs=1.01)

    @invariant()
    def counts_who_is_under_way(self) -> None:
        assert self.gate.status(self.now)["in_flight"] == len(self.open)


TestGateAgainstEntries = GateAgainstEntries.TestCase
TestGateAgainstEntries.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
