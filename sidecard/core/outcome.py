"""How a reply ended."""

from dataclasses import dataclass
from enum import Enum

from sidecard.core.event import Usage


class Ending(Enum):
    """Completed, failed, or abandoned: the caller left before the end."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reply, for those who settle on it.

    `usage` is what was used as far as anybody knows; None when nothing was reported.
    `first_event_at` and `ended_at` are moments of `Clock.now`;
    the first is None when no content was delivered.
    `stop_reason` is why a whole answer ends where it does, empty where none was.
    """

    ending: Ending
    usage: Usage | None
    error: BaseException | None
    first_event_at: float | None
    ended_at: float
    stop_reason: str = ""
