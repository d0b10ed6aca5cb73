"""Metrics: every family on this page, and where each gets its numbers.

Callers choose models, and so targets: what they may make up is bounded before it becomes a label.
Each registry belongs to one daemon; nothing here is global.
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from sidecard.core.call import Call
from sidecard.core.errors import SidecardError
from sidecard.core.event import Usage
from sidecard.core.note import (
    BreakerChanged,
    GateClosed,
    HedgeEnded,
    Misconfigured,
    MovedOn,
    Note,
    RetriesEnded,
    Retrying,
    Shed,
    StreamRescued,
)
from sidecard.core.outcome import Outcome
from sidecard.core.reply import Head

_NAMES: Final = 100
"""How many targets and routes have labels of their own; the rest is `other`."""

_SECONDS: Final = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600,
)  # fmt: skip
"""From an answer of the simulator's to ten minutes of thinking."""


class Gauges(Protocol):
    """What is read when somebody asks: (labels, value) of each gauge, by its name."""

    def __call__(self) -> Iterable[tuple[str, dict[str, str], float]]:
        """Return all of them."""
        ...


GAUGES: Final = {
    "sidecard_breaker_state": "1 for the state that a target's breaker is in, 0 for the others",
    "sidecard_in_flight": "Calls that hold a permit",
    "sidecard_in_flight_limit": "Permits that there are",
    "sidecard_queued": "Calls that wait for a permit",
    "sidecard_retry_budget": "Retries and hedges that the budget allows now",
}


class Metrics:
    """A `CallSink` (`call`) and a `NoteSink` (`note`) that count. Safe to share."""

    def __init__(self, gauges: Gauges) -> None:
        registry = self.registry = CollectorRegistry()
        registry.register(_AtScrape(gauges))

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=_SECONDS)

        self.calls = counter(
            "sidecard_calls_total", "Calls by their end", "route", "outcome", "source", "error"
        )
        self.call_seconds = seconds(
            "sidecard_call_duration_seconds", "From a call to its end", "route", "mode"
        )
        self.first_event_seconds = seconds(
            "sidecard_first_event_seconds", "From a call to its first content", "route", "mode"
        )
        self.attempts = counter(
            "sidecard_attempts_total", "Attempts by what became of them", "target", "outcome"
        )
        self.tokens = counter("sidecard_tokens_total", "Tokens used", "target", "kind")
        self.retries = counter("sidecard_retries_total", "Attempts made again", "target", "error")
        self.retries_ended = counter(
            "sidecard_retries_ended_total", "Failures not retried, and why", "target", "why"
        )
        self.hedges = counter(
            "sidecard_hedges_total", "Calls with two attempts, by which answered", "target", "won"
        )
        self.moves = counter(
            "sidecard_moves_total", "Targets given up for the next one", "target", "to", "error"
        )
        self.misconfigured = counter(
            "sidecard_misconfigured_total", "Refusals that the operator has to mend", "target"
        )
        self.gate_closed = counter(
            "sidecard_rate_limit_closed_total", "Times that a 429 held back a target", "target"
        )
        self.shed = counter(
            "sidecard_shed_total", "Calls refused before anything was sent", "layer", "route", "why"
        )
        self.rescued = counter(
            "sidecard_streams_rescued_total", "Broken streams that went on", "target", "how"
        )
        self.breaker = counter(
            "sidecard_breaker_transitions_total", "Changes of breakers", "target", "to"
        )
        self._targets = _Bounded(_NAMES)
        self._routes = _Bounded(_NAMES)

    def call(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """Count a call that has ended, and its attempts."""
        route, mode = self._routes(call.route.name), call.mode.value
        error = outcome.error
        reason = "" if error is None else "INTERNAL"
        reason = error.reason if isinstance(error, SidecardError) else reason
        if outcome.ending.value == "abandoned":
            reason = ""
        source = head.source.value if head else ""
        self.calls.labels(route, outcome.ending.value, source, reason).inc()
        self.call_seconds.labels(route, mode).observe(outcome.ended_at - began)
        if outcome.first_event_at is not None:
            self.first_event_seconds.labels(route, mode).observe(outcome.first_event_at - began)
        for attempt in call.trail:
            target = self._targets(attempt.target)
            self.attempts.labels(target, attempt.error or "ANSWERED").inc()
            if attempt.usage is not None:
                self._count_tokens(target, attempt.usage)

    def _count_tokens(self, target: str, usage: Usage) -> None:
        kinds = (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
        )
        for kind, number in kinds:
            if number:
                self.tokens.labels(target, kind).inc(number)

    def note(self, note: Note) -> None:
        """Count what a layer decided."""
        name = self._targets
        match note:
            case Retrying():
                self.retries.labels(name(note.target), note.error).inc()
            case RetriesEnded():
                self.retries_ended.labels(name(note.target), note.why).inc()
            case HedgeEnded():
                self.hedges.labels(name(note.target), note.won).inc()
            case MovedOn():
                self.moves.labels(name(note.target), name(note.to), note.error).inc()
            case Misconfigured():
                self.misconfigured.labels(name(note.target)).inc()
            case GateClosed():
                self.gate_closed.labels(name(note.target)).inc()
            case Shed():
                self.shed.labels(note.layer, self._routes(note.route), note.why).inc()
            case StreamRescued():
                self.rescued.labels(name(note.target), note.how).inc()
            case BreakerChanged():
                self.breaker.labels(name(note.target), note.after).inc()
            case _:
                pass  # A hedge is counted when it has ended.

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return all of it, in the format that `accept` asks for, and its content type."""
        encode: Callable[[CollectorRegistry], bytes]
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _AtScrape:
    """The gauges, which nobody keeps up to date: they are read when they are asked for."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """Return the families, each with its samples."""
        families: dict[str, GaugeMetricFamily] = {}
        for name, labels, value in self._gauges():
            if name not in families:
                families[name] = GaugeMetricFamily(name, GAUGES[name], labels=list(labels))
            families[name].add_metric(list(labels.values()), value)
        return families.values()


class _Bounded:
    """Names as they are, as long as there are few; the later ones are all `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        if name in self._known:
            return name
        if len(self._known) >= self._limit:
            return "other"
        self._known.add(name)
        return name
