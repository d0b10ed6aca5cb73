"""Notes as lines of the log: what an operator is told, how loudly, and how often."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sidecard.core.note import (
    BreakerChanged,
    GateClosed,
    Hedged,
    HedgeEnded,
    Misconfigured,
    MovedOn,
    Note,
    RetriesEnded,
    Retrying,
    Shed,
    StreamRescued,
)
from sidecard.telemetry import log
from sidecard.telemetry.notes import NoteLog
from tests.support.clock import ManualClock


class Told:
    """A `NoteLog` over a stream, and what it wrote."""

    def __init__(self, level: str) -> None:
        self.out = io.StringIO()
        self.clock = ManualClock()
        log.configure(level, "json", self.out)
        self.note = NoteLog(self.clock)

    def lines(self, *notes: Note) -> list[dict[str, Any]]:
        """Take notes and return what was written since the last time."""
        for note in notes:
            self.note(note)
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def told() -> Iterator[Told]:
    yield Told("info")
    log.configure("info", "json", io.StringIO())


LEVELS = [
    (BreakerChanged("a", "closed", "open", "half failed"), "breaker", "warning"),
    (BreakerChanged("a", "open", "half_open", "time is over"), "breaker", "info"),
    (BreakerChanged("a", "half_open", "closed", "3 probes"), "breaker", "info"),
    (Misconfigured("r", "a", "no such key"), "target misconfigured", "error"),
    (GateClosed("a", 2.5), "rate limit closed", "warning"),
    (Shed("r", "t", "default", "admit", "queue"), "calls shed", "warning"),
    (StreamRescued("r", "a", "b", "continued", "X"), "stream rescued", "warning"),
]
QUIET = [
    Retrying("r", "a", 1, "UPSTREAM_UNAVAILABLE", 0.25),
    RetriesEnded("r", "a", "UPSTREAM_UNAVAILABLE", "budget"),
    Hedged("r", "a", 0.5),
    MovedOn("r", "a", "b", "BREAKER_OPEN"),
]


@pytest.mark.parametrize(("note", "event", "level"), LEVELS, ids=lambda value: str(value)[:20])
def test_what_an_operator_should_see_is_written(
    told: Told, note: Note, event: str, level: str
) -> None:
    """Changes and refusals are lines with their facts, as loud as they are bad."""
    [line] = told.lines(note)
    assert (line["event"], line["level"]) == (event, level)
    wanted = getattr(note, "target", None) or getattr(note, "layer", None)
    assert wanted in line.values()


@pytest.mark.parametrize("note", QUIET, ids=lambda note: type(note).__name__)
def test_what_every_call_does_is_for_debugging(note: Note) -> None:
    """A line each, with all facts, at the level debug, and none above."""
    assert Told("info").lines(note) == []
    [line] = Told("debug").lines(note)
    assert line["level"] == "debug"
    assert {name: getattr(note, name) for name in type(note).__slots__}.items() <= line.items()


def test_what_is_only_counted_is_no_line() -> None:
    """Which of two attempts answered is a matter of numbers."""
    assert Told("debug").lines(HedgeEnded("a", "second")) == []


def test_a_storm_is_one_line_with_a_count(told: Told) -> None:
    """What repeats is told once in a while, for each target, with how many were left out."""
    storm = [Misconfigured("r", "a", "no such key")] * 100
    assert len(told.lines(*storm)) == 1
    assert len(told.lines(Misconfigured("r", "b", "no such key"))) == 1
    told.clock.advance(60)
    [line] = told.lines(*storm)
    assert (line["target"], line["left_out"]) == ("a", 99)


def test_what_was_told_is_forgotten_in_the_end(told: Told) -> None:
    """Any number of targets is remembered in bounded room."""
    names = [f"model-{number}" for number in range(5_000)]
    assert len(told.lines(*[GateClosed(name, 1.0) for name in names])) == 5_000
