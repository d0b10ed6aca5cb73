"""The breaker beside a slow, obvious model of it, over random histories.

The model keeps every attempt there was and recomputes all it needs from that list.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecard.policy.breaker import Breaker, BreakerPolicy, Mode, Permit, State

End = Literal["well", "slow", "failed", "failed and slow", "given back"]
ENDS: list[End] = ["well", "slow", "failed", "failed and slow", "given back"]
MODES: list[Mode] = ["auto", "forced_open", "disabled"]


@dataclass
class Sent:
    """An attempt that was permitted, and how and when it ended if it did."""

    generation: int
    permitted_at: float
    end: End | None = None
    ended_at: float = math.nan
    late: bool = False  # it ended in a generation after its own

    @property
    def told(self) -> bool:
        """Whether it has ended and says something of the target."""
        return self.end not in {None, "given back"} and not self.late


@dataclass
class Model:
    """The states of the breaker since its beginning, and all attempts."""

    policy: BreakerPolicy
    states: list[State]
    sent: list[Sent] = field(default_factory=list)
    ended: list[Sent] = field(default_factory=list)  # in the order of their ends
    fresh: int = 0  # the generation that began with an empty window
    fresh_at: float = -math.inf
    open_s: float = 0.0
    open_until: float = 0.0
    opened_at: float | None = None
    trips: int = 0
    refusals: int = 0

    def __post_init__(self) -> None:
        self.open_s = min(self.policy.open_s, self.policy.max_open_s)

    @property
    def state(self) -> State:
        return self.states[-1]

    @property
    def generation(self) -> int:
        return len(self.states) - 1

    def judged(self, now: float) -> list[Sent]:
        """Return the outcomes that count now: of the probes, or in the window."""
        if self.state is State.HALF_OPEN:
            return [one for one in self.ended if one.generation == self.generation and one.told]
        told = [one for one in self.ended if one.generation == self.fresh and one.told]
        if self.policy.window == "count":
            return told[-self.policy.window_calls :]
        slice_s = self.policy.window_s / 10
        return [one for one in told if now // slice_s - one.ended_at // slice_s < 10]

    def rates(self, now: float) -> tuple[int, int, int]:
        """Return how many count, failed, and were slow."""
        ends = [one.end or "" for one in self.judged(now)]
        return len(ends), sum("failed" in e for e in ends), sum("slow" in e for e in ends)

    def slots(self, now: float) -> list[float]:
        """Return the moments at which the slots that are out become free."""
        mine = [one for one in self.sent if one.generation == self.generation and one.end is None]
        moments = [one.permitted_at + self.open_s for one in mine]
        return [moment for moment in moments if moment > now]

    def retry_after_s(self, now: float) -> float | None:
        """Return 0 where an attempt would be permitted, as long as it is open or half-open."""
        if self.state is State.FORCED_OPEN:
            return None
        if self.state is State.OPEN:
            return max(0.0, self.open_until - now)
        if self.state is State.HALF_OPEN:
            out = self.slots(now)
            if len(self.judged(now)) + len(out) >= self.policy.probes:
                return min(min(out) - now, 0.1 * self.policy.open_s)
        return 0.0

    def ask(self, now: float) -> Sent | None:
        """Return an attempt, None for a refusal."""
        if self.state is State.OPEN and now >= self.open_until:
            self.states.append(State.HALF_OPEN)
        if self.retry_after_s(now) == 0.0:
            self.sent.append(Sent(self.generation, now))
            return self.sent[-1]
        self.refusals += 1
        return None

    def settle(self, attempt: Sent, end: End, now: float, luck: float) -> None:
        """End an attempt; it may decide the state if it belongs to the present one."""
        if attempt.end is not None:
            return
        attempt.end, attempt.ended_at = end, now
        attempt.late = attempt.generation != self.generation
        self.ended.append(attempt)
        if not attempt.told:
            return
        policy = self.policy
        calls, failed, slow = self.rates(now)
        if self.state is State.HALF_OPEN:
            if self._bad(failed, slow, policy.probes):
                self._trip(now, luck, min(self.open_s * policy.open_growth, policy.max_open_s))
            elif calls >= policy.probes:
                self.begin(State.CLOSED, now)
        elif self.state is State.CLOSED:
            enough = policy.minimum_calls
            if policy.window == "count":
                enough = min(enough, policy.window_calls)
            if calls >= enough and self._bad(failed, slow, calls):
                first = min(policy.open_s, policy.max_open_s)
                self._trip(now, luck, first if self._quiet(now) else self.open_s)

    def _bad(self, failed: int, slow: int, calls: int) -> bool:
        policy = self.policy
        return failed / calls >= policy.failure_rate or slow / calls >= policy.slow_rate

    def _quiet(self, now: float) -> bool:
        """Whether a whole window has gone by since the window was empty."""
        if self.policy.window == "time":
            return now - self.fresh_at >= self.policy.window_s
        told = [one for one in self.ended if one.generation == self.fresh and one.told]
        return len(told) > self.policy.window_calls

    def _trip(self, now: float, luck: float, open_s: float) -> None:
        if self.state is State.CLOSED:
            self.opened_at = now
        self.open_s = open_s
        jitter = self.policy.open_jitter
        self.open_until = now + open_s * (1.0 + jitter * (2.0 * luck - 1.0))
        self.trips += 1
        self.states.append(State.OPEN)

    def begin(self, state: State, now: float) -> None:
        """Enter a state with an empty window."""
        self.states.append(state)
        self.fresh, self.fresh_at = self.generation, now
        self.opened_at = now if state is State.FORCED_OPEN else None

    def set_mode(self, mode: Mode, now: float) -> None:
        """Enter the mode, unless it is that of now."""
        modes = {State.FORCED_OPEN: "forced_open", State.DISABLED: "disabled"}
        if modes.get(self.state, "auto") != mode:
            self.reset(now, State.CLOSED if mode == "auto" else State(mode))

    def reset(self, now: float, state: State = State.CLOSED) -> None:
        """Enter a state as if there had never been a trip."""
        self.open_s = min(self.policy.open_s, self.policy.max_open_s)
        self.begin(state, now)


RATES = st.sampled_from([0.5, 0.25, 1 / 3, 0.8, 1.0])
POLICIES = st.builds(
    BreakerPolicy,
    mode=st.sampled_from(["auto", "auto", "auto", "auto", *MODES]),
    window=st.sampled_from(["time", "count"]),
    window_s=st.sampled_from([0.7, 5.0, 30.0]),
    window_calls=st.integers(1, 6),
    minimum_calls=st.integers(1, 5),
    failure_rate=RATES,
    slow_rate=RATES,
    probes=st.integers(1, 4),
    open_s=st.sampled_from([0.3, 1.0, 10.0]),
    open_growth=st.sampled_from([2.0, 1.5, 1.0]),
    max_open_s=st.sampled_from([60.0, 15.0, 2.0]),
    open_jitter=st.sampled_from([0.0, 0.1, 1.0]),
)


class Histories(RuleBasedStateMachine):
    """Calls, their ends in any order, time that passes, and an operator."""

    @initialize(policy=POLICIES)
    def start(self, policy: BreakerPolicy) -> None:
        self.now = 1_000.0
        self.luck = 0.5
        self.policy = policy
        self.changes: list[tuple[State, State]] = []
        self.breaker = Breaker(
            policy,
            chance=lambda: self.luck,
            on_change=lambda change: self.changes.append((change.before, change.after)),
        )
        start = State.CLOSED if policy.mode == "auto" else State(policy.mode)
        self.model = Model(policy, [start])
        self.permits: list[tuple[Permit, Sent]] = []

    @rule(number=st.integers(1, 6))
    def ask(self, number: int) -> None:
        """Both permit, or both refuse for the same time."""
        for _ in range(number):
            answer, expected = self.breaker.ask(self.now), self.model.ask(self.now)
            if isinstance(answer, Permit):
                assert expected is not None, "permitted what the model refuses"
                assert answer.probe == (self.model.state is State.HALF_OPEN)
                self.permits.append((answer, expected))
            else:
                assert expected is None, "refused what the model permits"
                assert answer.retry_after_s == self.model.retry_after_s(self.now)

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), end=st.sampled_from(ENDS), number=st.integers(1, 4))
    def settle(self, data: st.DataObject, end: End, number: int) -> None:
        """Any of the permits there ever were, settled ones too; late ones rather than early."""
        for _ in range(number):
            back = data.draw(st.integers(1, len(self.permits)))
            permit, attempt = self.permits[-back]
            self.tell(permit, end)
            self.model.settle(attempt, end, self.now, self.luck)

    def tell(self, permit: Permit, end: End) -> None:
        """Settle it at the breaker."""
        slow = "slow" in end
        if end == "given back":
            self.breaker.give_back(permit, self.now)
        elif "failed" in end:
            self.breaker.failed(permit, self.now, slow=slow)
        else:
            self.breaker.succeeded(permit, self.now, slow=slow)

    @rule(end=st.sampled_from(ENDS), number=st.integers(1, 5))
    def calls(self, end: End, number: int) -> None:
        """A series of calls that all end at once, and alike."""
        for _ in range(number):
            before = len(self.permits)
            self.ask(1)
            for permit, attempt in self.permits[before:]:
                self.tell(permit, end)
                self.model.settle(attempt, end, self.now, self.luck)

    @rule(share=st.floats(0, 1.1), luck=st.floats(0, 1, exclude_max=True))
    def let_window_pass(self, share: float, luck: float) -> None:
        """Some of it; the next open time has another jitter."""
        self.now += share * self.policy.window_s
        self.luck = luck

    @precondition(lambda self: self.breaker.open_until is not None)
    @rule(share=st.sampled_from([1.0, 1.0, 1.2, 0.5]), end=st.sampled_from(ENDS))
    def let_open_time_pass(self, share: float, end: End) -> None:
        """To its very end, beyond, or its middle; then as many calls as there are probes."""
        until = self.model.open_until
        moment = until if share == 1.0 else self.now + (until - self.now) * share
        self.now = max(self.now, moment)
        self.calls(end, self.policy.probes)

    @precondition(lambda self: self.model.state is State.CLOSED)
    @rule(end=st.sampled_from(ENDS))
    def fill_the_window(self, end: End) -> None:
        """With calls that succeed, and then some that end as told."""
        self.calls("well", self.policy.window_calls)
        self.calls(end, self.policy.window_calls)

    @precondition(lambda self: self.model.slots(self.now))
    @rule()
    def let_a_slot_become_free(self) -> None:
        """To the moment at which the oldest attempt has been out for the open time."""
        self.now = min(self.model.slots(self.now))

    @precondition(lambda self: len(self.permits) > 8)
    @rule(act=st.sampled_from([*MODES, "reset"]))
    def operate(self, act: Mode | Literal["reset"]) -> None:
        """Another mode, or a reset; not before something has happened."""
        for breaker in (self.breaker, self.model):
            if act == "reset":
                breaker.reset(self.now)
            else:
                breaker.set_mode(act, self.now)

    @rule()
    def read_status(self) -> None:
        """All that it shows is what the model computes."""
        model = self.model
        calls, failed, slow = model.rates(self.now)
        assert self.breaker.status(self.now) == {
            "state": model.state.value,
            "failure_rate": failed / calls if calls else 0.0,
            "slow_rate": slow / calls if calls else 0.0,
            "calls": calls,
            "opened_for_s": None if model.opened_at is None else self.now - model.opened_at,
            "retry_after_s": model.retry_after_s(self.now),
            "trips": model.trips,
            "refusals": model.refusals,
        }

    @invariant()
    def is_in_the_models_state(self) -> None:
        """And got there by the same changes."""
        model = self.model
        assert self.breaker.state is model.state
        assert self.breaker.trips == model.trips
        assert self.breaker.refusals == model.refusals
        assert self.breaker.open_until == (model.open_until if model.state is State.OPEN else None)
        steps = itertools.pairwise(model.states)
        assert self.changes == [step for step in steps if step[0] is not step[1]]


TestHistories = Histories.TestCase
# No explain phase: it takes longer than a test may, and then nobody sees the history that failed.
TestHistories.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
