"""A slow, obvious model of the breaker.

It keeps every attempt there was, and recomputes all it needs from that list.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from sidecard.policy.breaker import BreakerPolicy, Mode, State

End = Literal["well", "slow", "failed", "failed and slow", "given back"]


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
