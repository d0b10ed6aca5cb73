"""Windows of budgets: whole, one after the other, and as people in that zone count."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.policy.budget_window import Calendar, Per, Rolling, Span, Window

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kolkata",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
]
walls = st.floats(315_532_800, 3_000_000_000)  # 1980 to 2065
zones = st.sampled_from(ZONES)


def calendar(per: Per, zone: str = "UTC") -> Calendar:
    return Calendar(per, ZoneInfo(zone), zone)


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@given(walls, zones, st.sampled_from([Per.DAY, Per.MONTH]))
def test_days_and_months_leave_no_gap(wall: float, zone: str, per: Per) -> None:
    """Each moment is in its window, all moments of it say so, and the next begins at its end."""
    window = calendar(per, zone)
    span = window.span(wall)
    assert span.start <= wall < span.end
    assert window.span(span.start) == window.span(span.end - 1) == span
    assert window.span(span.end).start == span.end
    assert window.span(span.start - 1).end == span.start


@given(walls, zones, st.sampled_from([Per.MINUTE, Per.HOUR]))
def test_hours_and_minutes_are_the_zones_own(wall: float, zone: str, per: Per) -> None:
    """They hold their moment, are never longer than they say, and begin on the zone's own clock."""
    window = calendar(per, zone)
    span = window.span(wall)
    assert span.start <= wall < span.end == span.start + per.length_s
    local = datetime.fromtimestamp(int(wall), ZoneInfo(zone))
    minutes = 0 if per is Per.MINUTE else local.minute
    assert span.start == int(wall) - minutes * 60 - local.second


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24), ("2028-02-29", 24)],
)
def test_a_day_is_as_long_as_its_clock(day: str, hours: int) -> None:
    """A day on which the clock is changed has an hour less, or more."""
    span = calendar(Per.DAY, "Europe/Berlin").span(at(f"{day}T12:00", "Europe/Berlin"))
    assert span.end - span.start == hours * 3600


@pytest.mark.parametrize(
    ("moment", "days"),
    [("2026-02-10", 28), ("2028-02-29T23:59", 29), ("2026-12-31T23:59:59", 31), ("2100-02-01", 28)],
)
def test_a_month_has_its_own_days(moment: str, days: int) -> None:
    """Leap years, and those that are none, and the last second of a year."""
    span = calendar(Per.MONTH).span(at(moment))
    assert span.end - span.start == days * 86_400
    assert datetime.fromtimestamp(span.start, ZoneInfo("UTC")).day == 1


def test_a_zone_decides_which_day_it_is() -> None:
    """At one moment it is another day in another place."""
    wall = at("2026-06-30T23:30")
    assert calendar(Per.MONTH).span(wall).end == at("2026-07-01")
    tokyo = calendar(Per.MONTH, "Asia/Tokyo").span(wall)
    assert tokyo.start == at("2026-07-01", "Asia/Tokyo") == at("2026-06-30T15:00")


def test_a_midnight_that_is_skipped() -> None:
    """Where the clock goes from midnight to one, the day begins at one."""
    span = calendar(Per.DAY, "Asia/Beirut").span(at("2026-03-29T12:00", "Asia/Beirut"))
    assert span.start == at("2026-03-29T01:00", "Asia/Beirut")
    assert span.end - span.start == 23 * 3600


@given(walls, st.sampled_from(list(Per)))
def test_slices_of_a_rolling_window(wall: float, per: Per) -> None:
    """A sixtieth each."""
    span = Rolling(per).span(wall)
    assert span.start <= wall < span.end
    assert (span.end - span.start) * 60 == per.length_s


@pytest.mark.parametrize("window", [calendar(Per.MONTH), calendar(Per.HOUR), Rolling(Per.DAY)])
@pytest.mark.parametrize("wall", [float("nan"), float("inf"), float("-inf"), -1.0, 1e300])
def test_a_broken_clock_breaks_nothing(window: Window, wall: float) -> None:
    """Any number at all has a window."""
    span = window.span(wall)
    assert isinstance(span, Span)
    assert span.start < span.end


def test_names_tell_windows_apart() -> None:
    """What is kept for one isn't taken for another's."""
    windows = [calendar(per, zone) for per in Per for zone in ZONES]
    names = {window.name for window in windows} | {Rolling(per).name for per in Per}
    assert len(names) == len(windows) + len(Per)
