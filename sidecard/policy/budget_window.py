"""Windows of budgets: which stretch of time a moment of the wall clock belongs to.

A calendar window begins where people say it does: at midnight or on the first of a month
in a time zone, so that a day of daylight saving has 23 or 25 hours and a leap year's February 29.
Hours and minutes are cut by the zone's own clock, as some zones are half an hour off.
A rolling window is cut into slices, each of which counts until its last moment has left it:
so it counts for up to a sixtieth longer than it says, and never shorter.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final, NamedTuple

_SLICES: Final = 60
_FIRST: Final = 86_400.0
_LAST: Final = 32_503_680_000.0  # The year 3000.


class Per(Enum):
    """How long a window is; a rolling month has 30 days."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def length_s(self) -> int:
        """Return how many seconds it usually has."""
        return _LENGTHS_S[self]


_LENGTHS_S: Final = {Per.MINUTE: 60, Per.HOUR: 3_600, Per.DAY: 86_400, Per.MONTH: 2_592_000}


class Span(NamedTuple):
    """From `start` up to `end`, in whole seconds since the Unix epoch."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """Windows as the calendar of a time zone has them."""

    per: Per
    zone: tzinfo
    zone_name: str = "UTC"

    @property
    def name(self) -> str:
        """What tells it from other windows, in words."""
        return f"calendar {self.per.value}, {self.zone_name}"

    def span(self, moment: float) -> Span:
        """Return the window that a moment of the wall clock is in."""
        wall = sane(moment)
        local = datetime.fromtimestamp(wall, self.zone)
        if self.per is Per.DAY:
            today = local.date()
            return Span(self._midnight(today), self._midnight(today + timedelta(days=1)))
        if self.per is Per.MONTH:
            first = local.date().replace(day=1)
            following = (first + timedelta(days=31)).replace(day=1)
            return Span(self._midnight(first), self._midnight(following))
        offset = local.utcoffset() or timedelta()
        length = self.per.length_s
        start = int(wall) - (int(wall) + int(offset.total_seconds())) % length
        return Span(start, start + length)

    def _midnight(self, day: date) -> int:
        """Return when a day begins; where its midnight is skipped, that is at the skip."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp())


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last minute, hour, day or 30 days, in slices."""

    per: Per

    @property
    def name(self) -> str:
        """What tells it from other windows, in words."""
        return f"rolling {self.per.value}"

    def span(self, moment: float) -> Span:
        """Return the slice that a moment is in."""
        length = self.per.length_s // _SLICES
        start = int(sane(moment)) // length * length
        return Span(start, start + length)


Window = Calendar | Rolling


def sane(wall: float) -> float:
    """Return a moment that the calendar knows: a broken clock mustn't break the ledger."""
    return min(max(wall, _FIRST), _LAST) if wall == wall else _FIRST  # noqa: PLR0124  # NaN
