"""The breaker beside a slow, obvious model of it, over random histories."""

import itertools
import random
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecard.policy.breaker import Breaker, BreakerPolicy, Mode, Permit, State
from tests.support.breaker_model import End, Model, Sent

Act: TypeAlias = Callable[[], None]

ENDS: Final[list[End]] = ["well", "slow", "failed", "failed and slow", "given back"]
MODES: Final[list[Mode]] = ["auto", "forced_open", "disabled"]
RATES: Final = [0.5, 0.25, 1 / 3, 0.8, 1.0]
FIELDS: Final[dict[str, list[Any]]] = {
    "mode": ["auto", "auto", "auto", "auto", *MODES],
    "window": ["time", "count"],
    "window_s": [0.7, 5.0, 30.0],
    "window_calls": [1, 2, 3, 4, 6],
    "minimum_calls": [1, 2, 3, 5],
    "failure_rate": RATES,
    "slow_rate": RATES,
    "probes": [1, 2, 3, 4],
    "open_s": [0.3, 1.0, 10.0],
    "open_growth": [2.0, 1.5, 1.0],
    "max_open_s": [60.0, 15.0, 2.0],
    "open_jitter": [0.0, 0.1, 1.0],
}
POLICIES = st.builds(
    BreakerPolicy, **{name: st.sampled_from(values) for name, values in FIELDS.items()}
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
    @rule(back=st.integers(0, 20), end=st.sampled_from(ENDS), number=st.integers(1, 4))
    def settle(self, back: int, end: End, number: int) -> None:
        """Some of the latest permits, of which a few are settled and a few from before a trip."""
        latest = self.permits[::-1][back % len(self.permits) :]
        for permit, attempt in latest[:number]:
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
TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


def step(at: Histories, chance: random.Random) -> None:
    """Apply one rule that may be applied, by chance alone."""
    pick, end = chance.choice, chance.choice(ENDS)
    acts: list[tuple[int, Act]] = [
        (40, lambda: at.calls(end, chance.randint(1, 5))),
        (20, lambda: at.ask(chance.randint(1, 4))),
        (20, lambda: at.let_window_pass(pick([0.0, 0.1, 0.5, 0.9, 1.0]), chance.random())),
        (20, at.read_status),
        (2, lambda: at.operate(pick([*MODES, "reset"]))),
    ]
    if at.permits:
        acts.append((40, lambda: at.settle(chance.randrange(21), end, chance.randint(1, 4))))
    if at.model.state is State.OPEN:
        acts.append((40, lambda: at.let_open_time_pass(pick([1.0, 1.0, 1.2, 0.5]), end)))
    if at.model.state is State.CLOSED:
        acts.append((10, lambda: at.fill_the_window(end)))
    if at.model.slots(at.now):
        acts.append((20, at.let_a_slot_become_free))
    chance.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()


@pytest.mark.parametrize("seed", range(4))
def test_long_walks_agree_with_the_model(seed: int) -> None:
    """By chance alone, which is faster than hypothesis, so that rare histories come too."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(300):
        histories = Histories()
        policy = {name: chance.choice(values) for name, values in FIELDS.items()}
        histories.start(BreakerPolicy(**policy))
        for _ in range(60):
            step(histories, chance)
            histories.is_in_the_models_state()
