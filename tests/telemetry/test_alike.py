"""Hits that are alike: told of together, they are told of as if each were."""

import io
import json
import logging
from collections.abc import Iterator
from functools import partial

import pytest

from sidecard.core.call import Call, Mode, Route
from sidecard.core.event import NO_USAGE
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import Alike, CallSink
from sidecard.core.reply import Head, Source
from sidecard.core.trace import Trace
from sidecard.core.trail import Trail
from sidecard.telemetry import log
from sidecard.telemetry.access import AccessLog
from sidecard.telemetry.hit_counts import counting
from sidecard.telemetry.later import Later
from sidecard.telemetry.metrics import Metrics
from sidecard.telemetry.recent import Recent
from sidecard.telemetry.sinks import Calls
from tests.support.clock import ManualClock
from tests.support.script import TARGET, a_call

KINDS: list[tuple[Call, Head, str]] = [
    (a_call(), Head(Source.CACHE_EXACT, "claude-test", age_s=0.0), "end_turn"),
    (
        a_call(tenant='c"\n', mode=Mode.STREAM, route=Route("other", (TARGET,), 8)),
        Head(Source.CACHE_EXACT, "claude-other", degraded=True, age_s=0.0),
        "max_tokens",
    ),
]


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """Return where the log goes; logging is put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    text = io.StringIO()
    log.configure("info", "json", text)
    yield text
    root.handlers[:] = before
    root.setLevel(level)


def outcome(at: float, stop_reason: str) -> Outcome:
    return Outcome(Ending.COMPLETED, NO_USAGE, None, at, at, stop_reason)


def tell_each(sink: CallSink) -> None:
    """Tell of three hits of each kind as calls."""
    for call, head, stop_reason in KINDS:
        for number in range(3):
            own = Head(head.source, head.target, degraded=head.degraded, age_s=number / 3)
            ended = 1.25 + 40 * number
            sink(
                a_call(
                    request_id=f"id-{number}", tenant=call.tenant, mode=call.mode, route=call.route
                ),
                own,
                outcome(ended, stop_reason),
                began=1.0,
            )


def tell_alike(alike: Alike, wall: float) -> None:
    """Tell of the same as what is alike."""
    for call, head, stop_reason in KINDS:
        tell = alike(call, head, outcome(7.0, stop_reason))
        assert tell is not None
        for number in range(3):
            tell(f"id-{number}", number / 3, 1.0, 1.25 + 40 * number, wall)


def test_the_log_has_the_same_lines(out: io.StringIO) -> None:
    """To the millisecond's thousandth."""
    access = AccessLog(clock=ManualClock(), as_json=True)
    tell_each(access)
    tell_alike(access.alike, ManualClock().wall())
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) == 12
    assert lines[:6] == lines[6:]
    assert [line["request_id"] for line in lines[:3]] == ["id-0", "id-1", "id-2"]


@pytest.mark.parametrize(("level", "sample", "written"), [("info", 0.5, 5), ("warning", 1.0, 0)])
def test_the_log_is_as_selective(out: io.StringIO, level: str, sample: float, written: int) -> None:
    """A level above info leaves all out; sampling, what is neither degraded nor slow."""
    log.set_level(level)
    chance = iter([0.1, 0.9]).__next__
    access = AccessLog(clock=ManualClock(), as_json=True, sample=sample, slow_s=60.0, chance=chance)
    tell_alike(access.alike, 1.0)
    assert len(out.getvalue().splitlines()) == written


def test_the_metrics_have_the_same_numbers() -> None:
    """All families, all series."""
    one, other = Metrics(lambda: ()), Metrics(lambda: ())
    tell_each(one.call)
    tell_alike(partial(counting, other), 1.0)
    pages = [
        [line for line in metrics.page("")[0].decode().splitlines() if "process_" not in line]
        for metrics in (one, other)
    ]
    assert pages[0] == pages[1]
    assert 'sidecard_cache_calls_total{result="hit",route="other"} 3.0' in pages[0]


def test_the_last_calls_are_the_same() -> None:
    """As the status page shows them."""
    one, other = Recent(ManualClock()), Recent(ManualClock())
    tell_each(one)
    tell_alike(other.alike, ManualClock().wall())
    assert one.told() == other.told()
    assert len(one.told()) == 6


def test_who_needs_each_has_each(out: io.StringIO) -> None:
    """In the console's form, with content, in a trace: each is told of as a call."""
    call, head, stop_reason = KINDS[0]
    hit = call, head, outcome(7.0, stop_reason)
    clock = ManualClock()
    assert AccessLog(clock=clock, as_json=False).alike(*hit) is None
    content = {"prompt": "hi"}
    assert AccessLog(clock=clock, as_json=True, content=lambda _: content).alike(*hit) is None
    traced = a_call(trail=Trail(Trace.of("", "", 1.0)))
    assert AccessLog(clock=clock, as_json=True).alike(traced, *hit[1:]) is None
    calls = Calls(Later(clock))
    calls.add(Recent(clock), alike=Recent(clock).alike)
    assert calls.alike(*hit) is not None
    calls.add(Recent(clock))
    assert calls.alike(*hit) is None
    assert out.getvalue() == ""
