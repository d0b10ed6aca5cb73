"""Sinks: one note goes to all of them, and none can spoil it for the others."""

import pytest

from sidecard.core.call import Call
from sidecard.core.note import GateClosed, Note
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Head
from sidecard.telemetry.later import Later
from sidecard.telemetry.sinks import Calls, Notes
from tests.support.clock import ManualClock
from tests.support.script import HEAD, a_call

NOTE = GateClosed("a", 1.0)
DONE = Outcome(Ending.COMPLETED, None, None, 1.5, 4.0)


class Kept:
    """A sink for both, that keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.notes: list[Note] = []

    def call(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        assert (call, head, outcome) == (a_call(), HEAD, DONE)
        self.calls.append(began)

    def note(self, note: Note) -> None:
        self.notes.append(note)


def fails(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def test_all_are_told() -> None:
    """Those that were there from the beginning, and those that came later."""
    first, later = Kept(), Kept()
    behind = Later(ManualClock())
    calls, notes = Calls(behind), Notes(first.note)
    calls.add(first.call)
    calls.add(later.call)
    notes.add(later.note)
    calls(a_call(), HEAD, DONE, began=1.0)
    notes(NOTE)
    behind.flush()
    assert (first.calls, later.calls) == ([1.0], [1.0])
    assert (first.notes, later.notes) == ([NOTE], [NOTE])


def test_a_bug_in_one_is_no_matter_for_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Nor for the call: nothing is raised, and the log has the traceback."""
    kept = Kept()
    behind = Later(ManualClock())
    calls = Calls(behind)
    calls.add(fails)
    calls.add(kept.call)
    calls(a_call(), HEAD, DONE, began=1.0)
    behind.flush()
    Notes(fails, kept.note)(NOTE)
    assert (kept.calls, kept.notes) == ([1.0], [NOTE])
    assert [record.message for record in caplog.records] == [
        "a call wasn't noted",
        "a decision wasn't noted",
    ]
