"""The log: one line a thing, that nothing can forge and no content gets into."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sidecard.core.errors import UpstreamThrottled
from sidecard.core.event import NO_USAGE, Usage
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Head, Source
from sidecard.telemetry import log
from sidecard.telemetry.access import AccessLog
from tests.support.clock import ManualClock
from tests.support.script import HEAD, USAGE, a_call

FORGED = 'x\n{"event":"forged"}\r\x1b[2J\u2028'


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """Return where the log goes; logging is put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = before
    root.setLevel(level)


def test_what_things_are_found_by_is_shown_and_all_else_redacted(out: io.StringIO) -> None:
    """Whose budget it is, say, though tenants may be addresses."""
    log.configure("info", "json", out, redact=lambda text: text.replace("b@c.d", "[email]"))
    facts = {"tenant": "b@c.d", "of": "b@c.d", "why": "b@c.d", "more": ["b@c.d"]}
    logging.getLogger("any").info("told", extra=facts)
    line = json.loads(out.getvalue())
    assert [line[name] for name in facts] == ["b@c.d", "b@c.d", "[email]", ["[email]"]]


@pytest.mark.parametrize("form", ["json", "console"])
def test_values_cannot_forge_lines(form: log.Format, out: io.StringIO) -> None:
    """A value with newlines and control bytes stays within one line, in either form."""
    log.configure("info", form, out)
    logging.getLogger("any").info("note %s", FORGED, extra={"request_id": FORGED})
    [line] = out.getvalue().splitlines()
    assert line.isprintable()


def test_bugs_show_their_traceback(out: io.StringIO) -> None:
    """An exception's traceback is in the line of the JSON form."""
    log.configure("info", "json", out)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        logging.getLogger("any").exception("a bug")
    assert json.loads(out.getvalue())["exception"][0]["exc_type"] == "ZeroDivisionError"


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_show_no_variables(form: log.Format, out: io.StringIO) -> None:
    """What a function held when it failed, as a prompt, is not in its traceback."""
    log.configure("info", form, out)

    def fails(prompt: str) -> None:
        raise ZeroDivisionError(len(prompt))

    try:
        fails("TOPSECRET".lower())
    except ZeroDivisionError:
        logging.getLogger("any").exception("a bug")
    assert "ZeroDivisionError" in out.getvalue()
    assert "topsecret" not in out.getvalue()


def test_the_level_is_obeyed(out: io.StringIO) -> None:
    """Nothing below the level is written, access lines included."""
    log.configure("warning", "json", out)
    logging.getLogger("any").info("quiet")
    note_a_call(as_json=True)
    assert out.getvalue() == ""


@pytest.mark.parametrize("as_json", [True, False])
def test_an_access_line_explains_the_call(out: io.StringIO, *, as_json: bool) -> None:
    """The line of a call says who, where to, how it ended, how long, and what it used."""
    log.configure("info", "json", out)
    note_a_call(as_json=as_json)
    line = json.loads(out.getvalue())
    assert line.pop("timestamp").startswith("20")
    assert line == {
        "event": "call",
        "level": "info",
        "request_id": "req-1",
        "tenant": "default",
        "mode": "unary",
        "route": "default",
        "outcome": "completed",
        "duration_ms": 1500.0,
        "first_event_ms": 500.0,
        "attempts": 0,
        "source": "upstream",
        "target": "claude-test",
        "input_tokens": 7,
        "output_tokens": 3,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "cost_nano_usd": 0,
    }


def test_a_hits_line_is_as_any_other(out: io.StringIO) -> None:
    """What is put together once for hits says of each call what a line in full says of it."""
    log.configure("info", "json", out)
    access = AccessLog(clock=ManualClock(), as_json=True)
    for number, tenant in enumerate(("a", "b", 'c"\n', "a")):
        head = Head(Source.CACHE_EXACT, "claude-test", age_s=number + 0.25)
        outcome = Outcome(Ending.COMPLETED, NO_USAGE, None, 1.5 + number, 1.5 + number)
        call = replace(a_call(), request_id=f"req-{number}", tenant=tenant)
        access(call, head, outcome, began=1.0)
        # Nothing of it is put together before: these numbers are equal, but not the same.
        access(call, head, replace(outcome, usage=Usage()), began=1.0)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[::2] == lines[1::2]
    assert [line["request_id"] for line in lines[::2]] == ["req-0", "req-1", "req-2", "req-3"]
    assert [line["first_event_ms"] for line in lines[::2]] == [500.0, 1500.0, 2500.0, 3500.0]
    assert [line["age_s"] for line in lines[::2]] == [0.25, 1.25, 2.25, 3.25]


def test_a_failed_call_names_its_error(out: io.StringIO) -> None:
    """The line of a failed call has the reason, the message and the attempts."""
    log.configure("info", "json", out)
    error = UpstreamThrottled("slow down")
    outcome = Outcome(Ending.FAILED, None, error, None, 2.0)
    call = a_call()
    first = call.trail.begin("claude-test", 0.0)
    first.error, first.duration_s = error.reason, 0.25
    call.trail.skip("claude-other", 0.5, "BREAKER_OPEN")
    AccessLog(clock=ManualClock(), as_json=True)(call, None, outcome, began=1.0)
    line = json.loads(out.getvalue())
    assert (line["error"], line["error_message"]) == ("UPSTREAM_THROTTLED", "slow down")
    assert (line["outcome"], line["attempts"]) == ("failed", 1)
    assert line["tried"] == ["claude-test UPSTREAM_THROTTLED 250.0 ms", "claude-other BREAKER_OPEN"]
    assert line["deadline_ms"] == (call.deadline - 1.0) * 1000
    assert line["priority"] == "interactive"


def test_a_caller_who_leaves_is_no_error(out: io.StringIO) -> None:
    """The outcome says it: Python's name for it helps nobody."""
    log.configure("info", "json", out)
    outcome = Outcome(Ending.ABANDONED, None, asyncio.CancelledError(), None, 2.0)
    AccessLog(clock=ManualClock(), as_json=True)(a_call(), None, outcome, began=1.0)
    line = json.loads(out.getvalue())
    assert line["outcome"] == "abandoned"
    assert "error" not in line


def test_a_failed_call_names_its_only_target(out: io.StringIO) -> None:
    """Where there was no answer, nothing else in its line would."""
    log.configure("info", "json", out)
    call = a_call()
    call.trail.begin("claude-test", 0.0).error = "UPSTREAM_THROTTLED"
    outcome = Outcome(Ending.FAILED, None, UpstreamThrottled("slow down"), None, 2.0)
    AccessLog(clock=ManualClock(), as_json=True)(call, None, outcome, began=1.0)
    assert json.loads(out.getvalue())["tried"] == ["claude-test UPSTREAM_THROTTLED 0.0 ms"]


@pytest.mark.parametrize("stop_reason", ["", "end_turn", "max_tokens", 'odd"\n'])
def test_an_answer_that_was_cut_says_so(out: io.StringIO, stop_reason: str) -> None:
    """The line has why an answer stopped, where that isn't that it was done; of hits, too."""
    log.configure("info", "json", out)
    access = AccessLog(clock=ManualClock(), as_json=True)
    for head in (HEAD, Head(Source.CACHE_EXACT, "claude-test", age_s=1.0)):
        for usage in (NO_USAGE, USAGE):
            access(
                a_call(),
                head,
                Outcome(Ending.COMPLETED, usage, None, 2.0, 2.0, stop_reason),
                began=1.0,
            )
    told = {json.loads(line).get("stop_reason", "") for line in out.getvalue().splitlines()}
    assert told == {"" if stop_reason == "end_turn" else stop_reason}


BROKEN = UpstreamThrottled("slow down")
DEGRADED = replace(HEAD, degraded=True)


@pytest.mark.parametrize(
    ("head", "outcome", "written"),
    [
        (HEAD, Outcome(Ending.COMPLETED, USAGE, None, 1.5, 2.5), 2),
        (HEAD, Outcome(Ending.COMPLETED, USAGE, None, 1.5, 6.0), 4),
        (DEGRADED, Outcome(Ending.COMPLETED, USAGE, None, 1.5, 2.5), 4),
        (None, Outcome(Ending.FAILED, None, BROKEN, None, 2.0), 4),
        (HEAD, Outcome(Ending.ABANDONED, USAGE, None, 1.5, 2.0), 4),
    ],
    ids=["good", "slow", "degraded", "failed", "abandoned"],
)
def test_only_what_went_well_is_sampled(
    out: io.StringIO, head: Head | None, outcome: Outcome, written: int
) -> None:
    """Of good calls the wanted share has a line; slow, degraded, failed and left ones all do."""
    log.configure("info", "json", out)
    chances = iter((0.0, 0.49, 0.5, 0.99))
    access = AccessLog(
        clock=ManualClock(), as_json=True, sample=0.5, slow_s=5.0, chance=lambda: next(chances)
    )
    for _ in range(4):
        access(a_call(), head, outcome, began=1.0)
    assert len(out.getvalue().splitlines()) == written


def note_a_call(*, as_json: bool) -> None:
    outcome = Outcome(Ending.COMPLETED, USAGE, None, 1.5, 2.5)
    AccessLog(clock=ManualClock(), as_json=as_json)(a_call(), HEAD, outcome, began=1.0)
