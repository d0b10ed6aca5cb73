"""How many calls may be in flight, learned from how soon answers begin.

Additive increase, multiplicative decrease: from any start, limits that share a bottleneck
so come to a fair and efficient division of it (Chiu and Jain, 1989).

Times to the first event differ from call to call by far more than the tolerance, a long prompt
takes many times what a short one does. So it isn't single calls that are judged: the mean of
the last dozens is compared with the mean of the last minutes, and both see the same outliers,
cut at the same height, so without a change of the upstream they are equal in the long run.
"""

from dataclasses import dataclass
from typing import Final

_RECENT: Final = 1 / 16
"""The weight of a new time in the recent mean."""
_WARM_UP: Final = 32
"""The times from which on the means are trusted."""
_CUT: Final = 2.0
"""How many tolerances above the baseline a time is cut."""
_SHORTEST_S: Final = 0.01
"""Seconds that a baseline is at least: no model is late that begins so soon."""


@dataclass(frozen=True, slots=True)
class AdaptivePolicy:
    """How a limit is learned. Its upper bound is the fixed limit that it stands for.

    `min_limit`: it never goes below. `initial`: where it starts, None at its upper bound.
    `tolerance`: how many times the baseline the recent first events may take before it goes down.
    `decrease`: what it is multiplied by then. `increase`: the share of the upper bound,
    one permit at least, by which it grows in the time in which each permit is used once.
    `baseline_s`: about how many seconds the baseline reaches back.
    """

    min_limit: int = 8
    initial: int | None = None
    tolerance: float = 2.0
    decrease: float = 0.9
    increase: float = 0.01
    baseline_s: float = 600.0


class AdaptiveLimit:
    """A limit between `policy.min_limit` and `max_limit`. Told of each call that was permitted."""

    __slots__ = (
        "_baseline_s",
        "_lowered_at",
        "_max",
        "_min",
        "_policy",
        "_recent_s",
        "_sampled_at",
        "_samples",
        "_step",
        "_value",
    )

    def __init__(self, policy: AdaptivePolicy, max_limit: int) -> None:
        self._policy = policy
        self._max = max_limit
        self._min = min(policy.min_limit, max_limit)
        self._value = self._bounded(max_limit if policy.initial is None else policy.initial)
        self._step = max(policy.increase * max_limit, 1.0)
        self._lowered_at = float("-inf")
        self._baseline_s = self._recent_s = 0.0
        self._samples = 0
        self._sampled_at = 0.0

    def bound(self, policy: AdaptivePolicy, max_limit: int) -> None:
        """Go on under other bounds, with what was learned as far as they allow it."""
        self._policy = policy
        self._max = max_limit
        self._min = min(policy.min_limit, max_limit)
        self._step = max(policy.increase * max_limit, 1.0)
        self._value = self._bounded(self._value)

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return int(self._value)

    def succeeded(
        self, now: float, *, began: float, first_event_s: float | None, in_flight: int
    ) -> None:
        """Hear of an answer to a call that got its permit at `began`.

        `first_event_s` is how long its first event took, None where that can't be told from how
        long all of it took. `in_flight` counts the call itself.
        """
        if first_event_s is not None and self._judge(first_event_s, now):
            self._lower(now, began)
            return
        if in_flight * 2 > self._value and began >= self._lowered_at and not self._late:
            self._value = self._bounded(self._value + self._step / self._value)

    def overloaded(self, now: float, *, began: float) -> None:
        """Hear that the upstream throttled or failed a call that got its permit at `began`."""
        self._lower(now, began)

    def _lower(self, now: float, began: float) -> None:
        """Lower the limit, unless the call ran before it was lowered last.

        So a burst of failures counts once: what was under way then knew nothing of the new limit.
        """
        if began >= self._lowered_at:
            self._lowered_at = now
            self._value = self._bounded(self._value * self._policy.decrease)

    @property
    def _bound_s(self) -> float:
        return self._policy.tolerance * max(self._baseline_s, _SHORTEST_S)

    @property
    def _late(self) -> bool:
        """Whether first events have lately taken longer than is tolerated."""
        return self._samples >= _WARM_UP and self._recent_s > self._bound_s

    def _judge(self, first_event_s: float, now: float) -> bool:
        """Take a time into both means, and return whether it is one of many that are late."""
        self._samples += 1
        if self._samples <= _WARM_UP:
            self._baseline_s += (first_event_s - self._baseline_s) / self._samples
            self._recent_s = self._baseline_s
            self._sampled_at = now
            return False
        time_s = min(first_event_s, _CUT * self._bound_s)
        self._recent_s += (time_s - self._recent_s) * _RECENT
        weight = min((now - self._sampled_at) / self._policy.baseline_s, _RECENT)
        self._baseline_s += (time_s - self._baseline_s) * weight
        self._sampled_at = now
        if self._recent_s * self._policy.tolerance < self._baseline_s:
            # The baseline was learned in worse times.
            self._baseline_s = self._recent_s
        return self._late and first_event_s > self._bound_s

    def _bounded(self, value: float) -> float:
        return float(max(self._min, min(value, self._max)))

    def __repr__(self) -> str:
        return (
            f"<AdaptiveLimit {self.limit} of {self._min} to {self._max}, "
            f"first events {self._recent_s:.3f} s, usually {self._baseline_s:.3f} s>"
        )
