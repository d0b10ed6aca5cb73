"""The breaker of one target: closed while it does well, open while asking it is pointless.

Without one, every call of an outage waits for a timeout before it may move on,
and a target that comes back is met by all that has piled up. The behaviour is resilience4j's:
rates of failed and of slow calls over a sliding window trip it,
and after the open time a few probes decide whether it closes or opens again, for longer.

Outcomes arrive late, as streams last for minutes. So each permit knows its generation,
the number of state changes before it, and outcomes of earlier generations count for nothing:
what was sent before a trip tells nothing of the target after it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

from sidecard.policy.probes import Probes
from sidecard.policy.window import CountWindow, TimeWindow, Window

Mode: TypeAlias = Literal["auto", "forced_open", "disabled"]

_PROBING_RETRY: Final = 0.1
"""Share of `open_s` after which a call that found all probes taken may come again."""


class State(Enum):
    """What a breaker does with calls; the values are what logs and metrics show."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"


_STARTS: Final[dict[Mode, State]] = {
    "auto": State.CLOSED,
    "forced_open": State.FORCED_OPEN,
    "disabled": State.DISABLED,
}


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker trips, and how it recovers."""

    mode: Mode = "auto"
    """`forced_open` refuses every call, `disabled` permits every one and only counts."""
    window: Literal["time", "count"] = "time"
    """Judge the calls of the last `window_s`, or the last `window_calls` however old."""
    window_s: float = 30.0
    """Seconds that a time window reaches back, in 10 slices. Longer is calmer and trips later."""
    window_calls: int = 100
    """Calls that a count window holds. More is calmer and trips later."""
    minimum_calls: int = 10
    """Calls in the window below which it never trips, at most `window_calls` in a count window."""
    failure_rate: float = 0.5
    """Share of failed calls at which it trips, up to 1. Less trips on lighter faults."""
    slow_rate: float = 0.8
    """Share of slow calls at which it trips, up to 1: then only when all are slow."""
    slow_s: float = 30.0
    """Seconds to the first event beyond which a call is slow. Whoever settles compares."""
    probes: int = 3
    """Attempts permitted while half-open. All must end before it closes; more is surer."""
    open_s: float = 10.0
    """Seconds that it stays open the first time. Less recovers sooner, and costs more failures."""
    open_growth: float = 2.0
    """What failed probes multiply the open time by; 1 keeps it."""
    max_open_s: float = 60.0
    """Seconds beyond which the open time doesn't grow, before the jitter."""
    open_jitter: float = 0.1
    """Share of the open time, 0 to 1, by which chance shortens or lengthens it,
    so that many daemons don't probe at one moment."""
    count_throttled: bool = False
    """Whether a 429 is a failure. Whoever settles decides by it."""


class Permit:
    """The right to run one attempt, to be settled once: later settlements count for nothing."""

    __slots__ = ("generation", "probe", "settled")

    def __init__(self, generation: int, *, probe: bool) -> None:
        self.generation = generation
        self.probe = probe
        self.settled = False

    def __repr__(self) -> str:
        settled = ", settled" if self.settled else ""
        return f"<Permit of generation {self.generation}{', probe' * self.probe}{settled}>"


@dataclass(frozen=True, slots=True)
class Refusal:
    """No permit, and how many seconds until there may be one; None: not before an operator acts.

    While half-open it is a guess, as a probe may end at any time: a tenth of `open_s`,
    or less when a probe's slot is free again before that.
    """

    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """A change of state, and why in words for a log line."""

    before: State
    after: State
    why: str


class Breaker:
    """Permits or refuses attempts at one target. Shared by all tasks of one event loop.

    `now` is in monotonic seconds. `chance` gives numbers from 0 to below 1.
    `on_change` is called last, when the new state stands, and what it raises is raised.

    Half-open, it closes when `probes` attempts have ended with failed and slow ones below the
    rates, and opens as soon as that is out of reach. A probe that hasn't ended within the open time
    leaves its slot to another, so that one that hangs can't keep it half-open;
    should it end before the verdict, it counts.

    The open time starts from `open_s` again once it has stayed closed for a whole window
    (`window_s`, or more than `window_calls` outcomes). Trips before that keep what it has grown to.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        chance: Callable[[], float],
        on_change: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self.policy = policy
        self.state = _STARTS[policy.mode]
        self.trips = 0
        self.refusals = 0
        self._chance = chance
        self._on_change = on_change
        self._window = _window(policy)
        self._generation = 0
        self._first_open_s = min(policy.open_s, policy.max_open_s)
        self._open_s = self._first_open_s
        self._open_until = 0.0
        self._opened_at: float | None = None
        self._asked_at = 0.0
        self._probes = Probes(policy.probes)

    @property
    def open_until(self) -> float | None:
        """The moment from which it lets a probe through, None unless it is open."""
        return self._open_until if self.state is State.OPEN else None

    def ask(self, now: float) -> Permit | Refusal:
        """Permit an attempt or refuse it. An open time that is over ends here."""
        state = self.state
        if state is State.CLOSED or state is State.DISABLED:
            return Permit(self._generation, probe=False)
        self._asked_at = now
        if state is State.OPEN and now >= self._open_until:
            self._probes.clear()
            self._become(State.HALF_OPEN, "the open time is over")
            return self.ask(now)
        if state is State.HALF_OPEN and not self._probes.full(now):
            permit = Permit(self._generation, probe=True)
            self._probes.sent(permit, now + self._open_s)
            return permit
        self.refusals += 1
        return Refusal(self._retry_after_s(now))

    def succeeded(self, permit: Permit, now: float, *, slow: bool = False) -> None:
        """Settle an attempt that the target answered."""
        self._settle(permit, now, failed=False, slow=slow)

    def failed(self, permit: Permit, now: float, *, slow: bool = False) -> None:
        """Settle an attempt that failed by the target's fault."""
        self._settle(permit, now, failed=True, slow=slow)

    def give_back(self, permit: Permit, now: float) -> None:  # noqa: ARG002 - as its siblings
        """Settle an attempt that tells nothing of the target, as if it had never been."""
        if not permit.settled:
            permit.settled = True
            self._probes.give_back(permit)

    def set_mode(self, mode: Mode, now: float) -> None:
        """Force it open, disable it, or let it work again: closed, with an empty window.

        The mode that it has already changes nothing.
        """
        start = _STARTS[mode]
        automatic = self.state in {State.CLOSED, State.OPEN, State.HALF_OPEN}
        if self.state is not start and not (automatic and mode == "auto"):
            self._begin(start, now, f"an operator set it to {mode}")

    def reset(self, now: float) -> None:
        """Close it whatever its state, with an empty window and the first open time.

        Attempts that are still out count for nothing.
        """
        self._begin(State.CLOSED, now, "an operator reset it")

    def adopt(self, policy: BreakerPolicy, now: float) -> None:
        """Go on under another policy, in the state that it is in.

        The window is kept unless its kind or its length changed: then it begins empty.
        An open time that runs goes on, cut to the longest there may be now.
        Probes that ended count, and may be all that is needed now.
        """
        before, self.policy = self.policy, policy
        if before == policy:
            return
        kind = (before.window, before.window_s, before.window_calls)
        if kind != (policy.window, policy.window_s, policy.window_calls):
            self._window = _window(policy)
        self._first_open_s = min(policy.open_s, policy.max_open_s)
        longest_s = policy.max_open_s * (1.0 + policy.open_jitter)
        self._open_until = min(self._open_until, now + longest_s)
        self._open_s = min(self._open_s, policy.max_open_s)
        if self.state is State.CLOSED:
            self._open_s = self._first_open_s
        self._probes.limit = policy.probes
        if before.mode != policy.mode:
            self.set_mode(policy.mode, now)
        if self.state is State.HALF_OPEN:
            self._judge_probes(now)

    def status(self, now: float) -> dict[str, object]:
        """Return what an operator wants to know, as JSON can say it.

        The rates (0 to 1) and `calls` are of the window; half-open, of the probes that ended.
        `opened_for_s`: since it was last closed, None while calls pass freely.
        `retry_after_s`: 0 when it would permit an attempt now, None when no time will tell.
        """
        self._window.forget(now)
        probing = self.state is State.HALF_OPEN
        counts = self._probes if probing else self._window
        calls = self._probes.ended if probing else self._window.calls
        opened_at = self._opened_at
        return {
            "state": self.state.value,
            "failure_rate": counts.failed / calls if calls else 0.0,
            "slow_rate": counts.slow / calls if calls else 0.0,
            "calls": calls,
            "opened_for_s": None if opened_at is None else max(0.0, now - opened_at),
            "retry_after_s": self._retry_after_s(now),
            "trips": self.trips,
            "refusals": self.refusals,
        }

    def _retry_after_s(self, now: float) -> float | None:
        """Return how long calls are refused for: 0 when none would be now, None for ever."""
        if self.state is State.FORCED_OPEN:
            return None
        if self.state is State.OPEN:
            return max(0.0, self._open_until - now)
        if self.state is State.HALF_OPEN:
            return min(self._probes.free_in_s(now), self.policy.open_s * _PROBING_RETRY)
        return 0.0

    def _settle(self, permit: Permit, now: float, *, failed: bool, slow: bool) -> None:
        if permit.settled:
            return
        permit.settled = True
        if permit.generation != self._generation:
            return
        if permit.probe:
            self._probes.record(permit, failed=failed, slow=slow)
            self._judge_probes(now)
            return
        window = self._window
        window.record(now, failed=failed, slow=slow)
        if self.state is State.CLOSED and window.calls >= _minimum_calls(self.policy):
            policy = self.policy
            if window.failed / window.calls >= policy.failure_rate:
                self._trip(now, _rate("failure", window.failed, window))
            elif window.slow / window.calls >= policy.slow_rate:
                self._trip(now, _rate("slow", window.slow, window))

    def _judge_probes(self, now: float) -> None:
        policy, probes = self.policy, self._probes
        if probes.failed / probes.limit >= policy.failure_rate:
            self._trip(now, f"{probes.failed} of {probes.limit} probes failed")
        elif probes.slow / probes.limit >= policy.slow_rate:
            self._trip(now, f"{probes.slow} of {probes.limit} probes were slow")
        elif probes.ended >= probes.limit:
            why = f"{probes.ended} probes ended, {probes.failed} failed, {probes.slow} slow"
            self._close(State.CLOSED, now, why)

    def _trip(self, now: float, why: str) -> None:
        policy = self.policy
        if self.state is State.HALF_OPEN:
            self._open_s = min(self._open_s * policy.open_growth, policy.max_open_s)
        else:
            self._opened_at = now
            if self._window.turned(now):
                self._open_s = self._first_open_s
        share = 1.0 + policy.open_jitter * (2.0 * self._chance() - 1.0)
        self._open_until = now + self._open_s * share
        self._asked_at = now
        self.trips += 1
        self._become(State.OPEN, why)

    def _begin(self, state: State, now: float, why: str) -> None:
        """Start afresh in a state that an operator chose."""
        self._open_s = self._first_open_s
        self._close(state, now, why)

    def _close(self, state: State, now: float, why: str) -> None:
        """Leave open and half-open behind, with an empty window."""
        self._window.clear(now)
        self._opened_at = now if state is State.FORCED_OPEN else None
        self._asked_at = now
        self._become(state, why)

    def _become(self, state: State, why: str) -> None:
        before, self.state = self.state, state
        self._generation += 1
        if before is not state:
            self._on_change(Change(before, state, why))

    def __repr__(self) -> str:
        """Durations are as of the last time that it was asked or changed."""
        parts = [self.state.value.replace("_", "-")]
        if self.state is State.HALF_OPEN:
            parts.append(repr(self._probes))
        elif self.state in {State.CLOSED, State.DISABLED}:
            window = self._window
            parts.append(f"{window.failed} failed and {window.slow} slow of {window!r}")
        if self._opened_at is not None:
            parts.append(f"opened {self._asked_at - self._opened_at:.0f} s ago")
        return f"<Breaker {', '.join(parts)}>"


def _window(policy: BreakerPolicy) -> Window:
    if policy.window == "time":
        return TimeWindow(policy.window_s)
    return CountWindow(policy.window_calls)


def _minimum_calls(policy: BreakerPolicy) -> int:
    if policy.window == "time":
        return policy.minimum_calls
    return min(policy.minimum_calls, policy.window_calls)


def _rate(name: str, count: int, window: Window) -> str:
    return f"{name} rate {100 * count / window.calls:.0f} % of {window!r}"
