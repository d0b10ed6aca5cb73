"""Hedging: when a second attempt is made beside one that is late, and takes whichever answers.

What counts is the first sign of an answer: its first content, or all of it where it came
in one piece. A unary call whose first content has come is being answered, however long it takes.
"""

from dataclasses import dataclass
from typing import Final

from sidecard.core.trail import Attempt
from sidecard.policy.latency import LatencyQuantiles

LOST: Final = "the other attempt answered first"
"""Why an attempt was cancelled, where that is no sign of its target."""

_LATE: Final = 0.95
_POLL_S: Final = 0.05
"""How often at most it is looked again whether an attempt that waits here was sent."""


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """Off by default. `delay_s` None: the learned 95th percentile, but `min_delay_s` at least."""

    enabled: bool = False
    delay_s: float | None = None
    min_delay_s: float = 0.05


def late_s(policy: HedgePolicy, times: LatencyQuantiles) -> float | None:
    """Return the seconds after which an attempt is late; None as long as nobody knows."""
    if policy.delay_s is not None:
        return policy.delay_s
    usual_s = times.quantile(_LATE)
    return None if usual_s is None else max(usual_s, policy.min_delay_s)


def due(attempt: Attempt | None, late_s: float, now: float) -> float | None:
    """Return when a second attempt is due beside the first; None when that is being answered.

    `attempt` is None while the first waits for its turn here: a second would wait behind it.
    """
    if attempt is None:
        return now + max(late_s, _POLL_S)
    return None if attempt.first_event_s is not None else attempt.began + late_s


def sign_s(attempt: Attempt) -> float:
    """Return how many seconds an attempt that answered took to show the first sign of that."""
    return attempt.duration_s if attempt.first_event_s is None else attempt.first_event_s
