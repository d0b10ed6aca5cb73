"""Metrics: what is counted of calls and decisions, within bounds, and that the docs know it all."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecard.core.call import Mode, Route, Target
from sidecard.core.errors import UpstreamUnavailable
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
from sidecard.core.outcome import Ending, Outcome
from sidecard.telemetry.metrics import Metrics
from tests.support.script import HEAD, USAGE, a_call

PAGE = Path(__file__).parents[2] / "docs/metrics.md"

NOTES: list[tuple[Note, str]] = [
    (Retrying("r", "a", 1, "X", 0.1), 'retries_total{error="X",target="a"}'),
    (RetriesEnded("r", "a", "X", "budget"), 'retries_ended_total{target="a",why="budget"}'),
    (HedgeEnded("a", "second"), 'hedges_total{target="a",won="second"}'),
    (MovedOn("r", "a", "b", "X"), 'moves_total{error="X",target="a",to="b"}'),
    (Misconfigured("r", "a", "no key"), 'misconfigured_total{target="a"}'),
    (GateClosed("a", 2.0), 'rate_limit_closed_total{target="a"}'),
    (
        Shed("r", "t", "default", "admit", "queue"),
        'shed_total{layer="admit",route="default",why="queue"}',
    ),
    (StreamRescued("r", "a", "b", "continued", "X"), 'streams_rescued_total{how="continued",'),
    (BreakerChanged("a", "closed", "open", "x"), 'breaker_transitions_total{target="a",to="open"}'),
]


def read_gauges() -> Iterator[tuple[str, dict[str, str], float]]:
    yield "sidecard_breaker_state", {"target": "a", "state": "open"}, 1.0
    yield "sidecard_breaker_state", {"target": "a", "state": "closed"}, 0.0
    yield "sidecard_in_flight", {"places": "shared"}, 3.0
    yield "sidecard_in_flight_limit", {"places": "shared"}, 8.0
    yield "sidecard_queued", {"places": "shared", "priority": "batch"}, 2.0
    yield "sidecard_retry_budget", {}, 10.0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(read_gauges)


def page(metrics: Metrics, accept: str = "") -> str:
    return metrics.page(accept)[0].decode()


def test_a_call_is_counted_at_its_end(metrics: Metrics) -> None:
    """Its end, its times, each attempt with what it used, also of those that failed."""
    call = a_call(mode=Mode.STREAM)
    call.trail.begin("b", 0.0).error = "UPSTREAM_UNAVAILABLE"
    call.trail.skip("c", 0.0, "BREAKER_OPEN")
    answering = call.trail.begin("claude-test", 0.0)
    answering.usage, answering.first_event_s = USAGE, 0.15
    metrics.call(call, HEAD, Outcome(Ending.COMPLETED, USAGE, None, 1.2, 3.0), began=1.0)
    text = page(metrics)
    for line in (
        'sidecard_calls_total{error="",outcome="completed",route="default",source="upstream"} 1.0',
        'sidecard_attempts_total{outcome="UPSTREAM_UNAVAILABLE",target="b"} 1.0',
        'sidecard_attempts_total{outcome="BREAKER_OPEN",target="c"} 1.0',
        'sidecard_attempts_total{outcome="ANSWERED",target="claude-test"} 1.0',
        'sidecard_tokens_total{kind="input",target="claude-test"} 7.0',
        'sidecard_tokens_total{kind="output",target="claude-test"} 3.0',
        'sidecard_call_duration_seconds_bucket{le="2.5",mode="stream",route="default"} 1.0',
        'sidecard_first_event_seconds_bucket{le="0.1",mode="stream",route="default"} 0.0',
        'sidecard_first_event_seconds_bucket{le="0.25",mode="stream",route="default"} 1.0',
        'sidecard_attempt_first_event_seconds_bucket{le="0.1",target="claude-test"} 0.0',
        'sidecard_attempt_first_event_seconds_bucket{le="0.25",target="claude-test"} 1.0',
        'sidecard_attempt_first_event_seconds_count{target="claude-test"} 1.0',
    ):
        assert line in text


@pytest.mark.parametrize(
    ("ending", "error", "labels"),
    [
        (Ending.FAILED, UpstreamUnavailable("x"), ("UPSTREAM_UNAVAILABLE", "failed")),
        (Ending.FAILED, KeyError("a bug"), ("INTERNAL", "failed")),
        (Ending.ABANDONED, None, ("", "abandoned")),
    ],
    ids=["failed", "a bug", "abandoned"],
)
def test_other_ends_are_told_apart(
    metrics: Metrics, ending: Ending, error: Exception | None, labels: tuple[str, str]
) -> None:
    """A failure by its reason, a bug as one, and who left as having left."""
    metrics.call(a_call(), None, Outcome(ending, None, error, None, 3.0), began=1.0)
    wanted = f'sidecard_calls_total{{error="{labels[0]}",outcome="{labels[1]}",route="default"'
    assert wanted in page(metrics)


@pytest.mark.parametrize(("note", "sample"), NOTES, ids=lambda value: type(value).__name__)
def test_decisions_are_counted(metrics: Metrics, note: Note, sample: str) -> None:
    """Each note is one more of its kind."""
    for _ in range(2):
        metrics.note(note)
    [line] = [line for line in page(metrics).splitlines() if f"sidecard_{sample}" in line]
    assert line.endswith(" 2.0")


def test_a_hedge_is_counted_once(metrics: Metrics) -> None:
    """When it has ended, and not when it begins too."""
    metrics.note(Hedged("r", "a", 0.1))
    assert "sidecard_hedges_total{" not in page(metrics)


def test_callers_make_no_labels_without_bound(metrics: Metrics) -> None:
    """Models that callers name share one label from the hundredth on; those before keep theirs."""
    for number in range(1_000):
        model = f"claude-{number}"
        call = a_call(route=Route(model, (Target(model),), 10))
        call.trail.begin(model, 0.0)
        metrics.call(call, None, Outcome(Ending.COMPLETED, None, None, None, 3.0), began=1.0)
    text = page(metrics)
    assert 'sidecard_cache_calls_total{result="miss",route="other"} 900.0' in text
    assert 'sidecard_attempts_total{outcome="ANSWERED",target="claude-99"} 1.0' in text
    assert 'sidecard_attempts_total{outcome="ANSWERED",target="other"} 900.0' in text
    assert len(set(re.findall(r'target="([^"]*)"', text))) == 101


def test_both_formats_are_served(metrics: Metrics) -> None:
    """The text format by default, OpenMetrics to who asks for it."""
    body, kind = metrics.page("")
    assert kind.startswith("text/plain")
    assert b'sidecard_breaker_state{state="open",target="a"} 1.0' in body
    body, kind = metrics.page("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_the_page_of_the_docs_has_every_family(metrics: Metrics) -> None:
    """docs/metrics.md lists each family with its type, its labels and its help, and no other."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE
    )
    assert [tuple(map(str.strip, row)) for row in rows] == [
        (
            family.name,
            family.kind,
            ", ".join([f"`{label}`" for label in family.labels]) or "\N{EN DASH}",
            family.text,
        )
        for family in metrics.families
    ]
