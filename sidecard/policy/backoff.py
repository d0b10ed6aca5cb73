"""Backoff: whether a failed attempt is made again at the same target, and after how long.

Full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015):
each wait is drawn from all of 0 to the doubled base, as callers that failed at one moment
would else come back at one moment.
A `retry-after` is when the upstream takes calls again, for all that it told so:
it is waited for whole, and the jitter comes on top.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sidecard.core.errors import SidecardError, UpstreamError

_DOUBLINGS: Final = 60
"""Beyond these a float would overflow some day, and any base is longer than any deadline."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_attempts` at one target include the first; seconds bound the jitter, as in `delay_s`.

    A `retry-after` over `max_retry_after_s` isn't waited for: another target may answer sooner.
    """

    max_attempts: int = 3
    base_s: float = 0.25
    max_delay_s: float = 8.0
    max_retry_after_s: float = 10.0


class Why(Enum):
    """Why an attempt isn't made again. FINAL: it would fail again, so nothing was spared."""

    FINAL = "final"
    ATTEMPTS = "attempts"
    RETRY_AFTER = "retry_after"
    DEADLINE = "deadline"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Again:
    """Make the attempt again, in `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Let the failure pass to the caller, or to the next target."""

    why: Why


def delay_s(
    policy: RetryPolicy, failed: int, retry_after_s: float | None, chance: Callable[[], float]
) -> float:
    """Return the seconds to wait after `failed` attempts, 1 or more; `chance` is from 0 to 1."""
    most_s = min(policy.max_delay_s, policy.base_s * 2.0 ** min(failed - 1, _DOUBLINGS))
    return (retry_after_s or 0.0) + chance() * most_s


def may_pass(error: SidecardError) -> bool:
    """Whether another attempt at the same target may succeed: the upstream's own word first."""
    if isinstance(error, UpstreamError) and error.should_retry is not None:
        return error.should_retry
    return error.retryable


def verdict(
    policy: RetryPolicy,
    error: SidecardError,
    *,
    failed: int,
    left: int,
    now: float,
    deadline: float,
    needs_s: float,
    chance: Callable[[], float],
) -> Again | GiveUp:
    """Decide on the attempt after `failed` ones at this target.

    `left` is how many attempts the call may still make anywhere.
    `needs_s` is what an attempt takes until it is of use: none starts that has less.
    """
    if not may_pass(error):
        return GiveUp(Why.FINAL)
    if failed >= policy.max_attempts or left < 1:
        return GiveUp(Why.ATTEMPTS)
    if (error.retry_after_s or 0.0) > policy.max_retry_after_s:
        return GiveUp(Why.RETRY_AFTER)
    wait_s = delay_s(policy, failed, error.retry_after_s, chance)
    if now + wait_s + needs_s >= deadline:
        return GiveUp(Why.DEADLINE)
    return Again(wait_s)
