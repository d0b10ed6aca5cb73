"""Keeping: which answers the cache takes, for how long they are fresh, and what they are later.

Moments are seconds since the Unix epoch, since what is kept outlives the process.
The wall clock may step. An entry from the future is of an unknown age, and so no longer fresh.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sidecard.core.reply import Head, Source
from sidecard.core.store import Stored

FINAL: Final = frozenset({"end_turn", "stop_sequence", "tool_use"})
"""Stop reasons after which the model has said all that it would say to this question."""


@dataclass(frozen=True, slots=True)
class KeepingPolicy:
    """How the answers of a route are kept. Durations are in seconds.

    `ttl_jitter` is the share of the time to live that chance takes away, so that what was asked
    together isn't asked again together. `stale_if_error_s` is how long after that an answer may
    stand in for a failure, `stale_while_revalidate_s` how long it is given while a new one is
    asked for. With `degraded` answers of later targets are kept too.
    """

    enabled: bool = True
    ttl_s: float = 3600.0
    ttl_jitter: float = 0.1
    stale_if_error_s: float = 86_400.0
    stale_while_revalidate_s: float = 0.0
    stop_reasons: frozenset[str] = FINAL
    degraded: bool = False
    coalesce: bool = True


class Standing(Enum):
    """What an entry is good for: any call, while a new one is asked for, failures, nothing."""

    FRESH = "fresh"
    REVALIDATE = "revalidate"
    STALE = "stale"
    GONE = "gone"


def keeps(policy: KeepingPolicy, head: Head, stop_reason: str) -> bool:
    """Whether a whole answer is to be kept."""
    return head.source is Source.UPSTREAM and serves(
        policy, stop_reason=stop_reason, degraded=head.degraded
    )


def serves(policy: KeepingPolicy, *, stop_reason: str, degraded: bool) -> bool:
    """Whether an answer that was kept may be given: another route's policy may have kept it."""
    return stop_reason in policy.stop_reasons and (policy.degraded or not degraded)


def expiry(
    policy: KeepingPolicy, asked_ttl_s: float | None, now: float, chance: Callable[[], float]
) -> float:
    """Return until when an answer that is given now is fresh."""
    ttl_s = policy.ttl_s if asked_ttl_s is None else asked_ttl_s
    return now + ttl_s * (1.0 - policy.ttl_jitter * chance())


def fresh_until(policy: KeepingPolicy, stored: Stored, asked_ttl_s: float | None) -> float:
    """Return until when an entry is fresh, for a caller who takes it up to an age of its own.

    Without one that is the route's now, whatever it was for whoever had the entry kept.
    """
    ttl_s = policy.ttl_s if asked_ttl_s is None else asked_ttl_s
    return min(stored.expires_at, stored.created_at + ttl_s)


def standing(
    policy: KeepingPolicy, stored: Stored, asked_ttl_s: float | None, now: float
) -> Standing:
    """Return what an entry is good for; `asked_ttl_s` is as in `fresh_until`."""
    until = fresh_until(policy, stored, asked_ttl_s)
    early_s = stored.created_at - now
    if early_s <= 0.0 and now < until:
        return Standing.FRESH
    over_s = max(now - until, early_s)
    if over_s < policy.stale_while_revalidate_s:
        return Standing.REVALIDATE
    return Standing.STALE if over_s < policy.stale_if_error_s else Standing.GONE


def age_s(stored: Stored, now: float) -> float:
    """Return how many seconds ago the answer was given."""
    return max(now - stored.created_at, 0.0)
