"""How things ended: one attempt at a target, and one whole reply."""

from dataclasses import dataclass
from enum import Enum

from sidecard.core.event import Usage


class Ending(Enum):
    """Completed, failed, or abandoned: the caller left before the end."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one target, numbered from 1 within its call.

    `error` is the reason (`UPSTREAM_THROTTLED`), empty when the attempt answered.
    `duration_s` ends where the attempt did: at the error, or at the commit.
    """

    number: int
    target: str
    duration_s: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reply, for those who settle on it.

    `usage` is what was used as far as anybody knows; None when nothing was reported.
    `first_event_at` and `ended_at` are moments of `Clock.now`;
    the first is None when no content was delivered.
    """

    ending: Ending
    usage: Usage | None
    error: BaseException | None
    first_event_at: float | None
    ended_at: float
