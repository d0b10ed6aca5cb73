"""Metrics: every family on this page, and where each gets its numbers.

Callers choose models, and so targets: what they may make up is bounded before it becomes a label.
Each registry belongs to one daemon; nothing here is global.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics

from sidecard.core.call import CacheMode, Call, LastResort, Mode
from sidecard.core.errors import SidecardError
from sidecard.core.event import Usage
from sidecard.core.jsonio import JsonObject
from sidecard.core.note import (
    AskedAgain,
    BreakerChanged,
    BudgetCrossed,
    BudgetRefused,
    GateClosed,
    HedgeEnded,
    Misconfigured,
    MovedOn,
    Note,
    OutputJudged,
    RetriesEnded,
    Retrying,
    Shed,
    StreamRescued,
    TurnCame,
)
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Head
from sidecard.core.trail import Attempt
from sidecard.telemetry.families import Counts, Gauge, Level, Levels, Names, Times
from sidecard.telemetry.gen_ai import GenAi

_SHORT: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12)
_NANO: Final = 1_000_000_000
_OPENMETRICS: Final = "application/openmetrics-text"

GAUGES: Final = (
    Level(
        "sidecard_breaker_state",
        "1 for the state that a target's breaker is in, 0 for the others",
        ("target", "state"),
    ),
    Level("sidecard_in_flight", "Calls that hold a permit", ("places",)),
    Level("sidecard_in_flight_limit", "Permits that there are", ("places",)),
    Level("sidecard_queued", "Calls that wait for a permit", ("places", "priority")),
    Level("sidecard_limit_per_minute", "What a target is sent at most", ("target", "kind")),
    Level("sidecard_limit_room", "What it could be sent of that now", ("target", "kind")),
    Level("sidecard_upstream_busy", "Answers of the upstream that are being read now"),
    Level("sidecard_upstream_connections", "Connections to the upstream, those kept for later too"),
    Level("sidecard_info", "1 for the version that runs", ("version",)),
    Level("sidecard_config_info", "1 for the file that is in force", ("sha256",)),
    Level("sidecard_config_last_reload_successful", "1 if the last reload was, or there was none"),
    Level(
        "sidecard_config_last_reload_success_timestamp_seconds",
        "When the configuration in force was read",
    ),
    Level("sidecard_config_reloads_total", "Times that the configuration was read again"),
    Level("sidecard_config_reload_failures_total", "Times that it was refused then"),
    Level("sidecard_config_restart_needed", "1 for what waits for a restart", ("field",)),
    Level("sidecard_prices_info", "1 for the price list that is in force", ("version",)),
    Level("sidecard_retry_budget", "Retries and hedges that the budget allows now"),
    Level("sidecard_budget_spent", "What is spent of a budget", ("budget", "of", "unit")),
    Level("sidecard_budget_reserved", "What attempts may take of it", ("budget", "of", "unit")),
    Level("sidecard_budget_left", "What is neither spent nor reserved", ("budget", "of", "unit")),
    Level("sidecard_budget_limit", "What may be spent of it", ("budget", "of", "unit")),
    Level("sidecard_ledger_available", "1 while what is used is kept, 0 while it can't be"),
    Level("sidecard_flights", "Calls that others who ask the same can join now"),
    Level("sidecard_cache_available", "1 while the answer cache takes entries, 0 while it can't"),
    Level("sidecard_cache_entries", "Answers in the cache"),
    Level("sidecard_cache_bytes", "Bytes that they take"),
    Level("sidecard_cache_max_bytes", "Bytes that they may take"),
    Level("sidecard_cache_queued", "Answers that wait to be written"),
    Level("sidecard_cache_written_total", "Answers written"),
    Level("sidecard_cache_dropped_total", "Answers not written: too many, too large, or no disk"),
    Level("sidecard_cache_removed_total", "Answers removed from the cache", ("why",)),
    Level("sidecard_cache_unreadable_total", "Answers met that another key encrypts"),
    Level("sidecard_cache_set_aside_total", "Files of the cache that were set aside as unusable"),
)
"""What is read when somebody asks."""


class Metrics:
    """A `CallSink` (`call`) and a `NoteSink` (`note`) that count. Safe to share.

    `targets` and `routes` are the configured names: no number of others takes their labels away,
    and what should alert when it happens once is shown for those targets from the beginning.
    `uncached` are the routes whose answers aren't kept.
    """

    def __init__(
        self,
        gauges: Callable[[], Iterable[Gauge]],
        *,
        targets: Collection[str] = (),
        routes: Collection[str] = (),
        uncached: Collection[str] = (),
    ) -> None:
        self._targets = Names([resort.value for resort in LastResort])
        self._routes = Names()
        self._tenants = Names()
        self._count_calls()
        self._count_decisions()
        self._count_outputs()
        self._counting = self._ways_to_count()
        self._gen_ai = GenAi()
        counted = [found for found in vars(self).values() if isinstance(found, Counts | Times)]
        counted += self._gen_ai.families
        self.families = (*GAUGES, *counted)
        self.registry = CollectorRegistry()
        for family in (Levels(GAUGES, gauges, self._targets), *counted):
            self.registry.register(family)
        # Memory, CPU time and open files, under the names that every exporter gives them.
        ProcessCollector(registry=self.registry)
        self.configure(targets=targets, routes=routes, uncached=uncached)

    def configure(
        self, *, targets: Collection[str], routes: Collection[str], uncached: Collection[str]
    ) -> None:
        """Hear of the names that are configured now; those before keep their labels."""
        self._uncached = frozenset(uncached)
        self._targets.keep(targets)
        self._routes.keep(routes)
        for target in targets:
            self.breaker.add(target, "open", by=0)
            self.gate_closed.add(target, by=0)
            self.misconfigured.add(target, by=0)

    def _count_calls(self) -> None:
        self.rpcs = Counts("sidecard_rpcs_total", "RPCs by gRPC's code", ("method", "code"))
        self.rpc_seconds = Times(
            "sidecard_rpc_duration_seconds", "From an RPC to its end", ("method",)
        )
        self.spans = Counts("sidecard_spans_total", "Spans by what became of them", ("result",))
        self.lag = Times(
            "sidecard_event_loop_lag_seconds", "How late the event loop was", bounds=_SHORT
        )
        self.token_seconds = Times(
            "sidecard_output_token_seconds",
            "Of a stream of the upstream, per token after its first content",
            ("route",),
            bounds=_SHORT,
        )
        self.calls = Counts(
            "sidecard_calls_total", "Calls by their end", ("route", "outcome", "source", "error")
        )
        self.call_seconds = Times(
            "sidecard_call_duration_seconds", "From a call to its end", ("route", "mode")
        )
        self.first_event_seconds = Times(
            "sidecard_first_event_seconds", "From a call to its first content", ("route", "mode")
        )
        self.attempts = Counts(
            "sidecard_attempts_total", "Attempts by what became of them", ("target", "outcome")
        )
        self.attempt_first_event_seconds = Times(
            "sidecard_attempt_first_event_seconds",
            "From an attempt to the first content that the target streamed",
            ("target",),
        )
        self.cache = Counts(
            "sidecard_cache_calls_total", "Calls by what the cache had", ("route", "result")
        )
        self.tokens = Counts("sidecard_tokens_total", "Tokens used", ("target", "kind"))
        self.cost = Counts(
            "sidecard_cost_dollars_total",
            "US dollars that attempts cost",
            ("route", "target", "tenant"),
        )
        self.cost_unknown = Counts(
            "sidecard_cost_unknown_total", "Attempts whose cost isn't known", ("target",)
        )

    def _count_decisions(self) -> None:
        self.retries = Counts("sidecard_retries_total", "Attempts made again", ("target", "error"))
        self.retries_ended = Counts(
            "sidecard_retries_ended_total", "Failures not retried, and why", ("target", "why")
        )
        self.hedges = Counts(
            "sidecard_hedges_total", "Calls with two attempts, by which answered", ("target", "won")
        )
        self.moves = Counts(
            "sidecard_moves_total", "Targets given up for the next one", ("target", "to", "error")
        )
        self.misconfigured = Counts(
            "sidecard_misconfigured_total", "Refusals that the operator has to mend", ("target",)
        )
        self.waits = Times(
            "sidecard_rate_limit_wait_seconds", "Waits for a target's rate", ("target",)
        )
        self.gate_closed = Counts(
            "sidecard_rate_limit_closed_total", "Times that a 429 held back a target", ("target",)
        )
        self.shed = Counts(
            "sidecard_shed_total",
            "Calls refused before anything was sent",
            ("layer", "route", "why"),
        )
        self.budget_refused = Counts(
            "sidecard_budget_refused_total",
            "Attempts that a budget had no room for",
            ("budget", "tenant", "target"),
        )
        self.budget_crossed = Counts(
            "sidecard_budget_crossed_total",
            "Times that so much of a budget was spent",
            ("budget", "percent"),
        )
        self.rescued = Counts(
            "sidecard_streams_rescued_total", "Broken streams that went on", ("target", "how")
        )
        self.breaker = Counts(
            "sidecard_breaker_transitions_total", "Changes of breakers", ("target", "to")
        )

    def _count_outputs(self) -> None:
        self.outputs = Counts(
            "sidecard_outputs_total",
            "Calls with a schema by the verdict on their answer",
            ("target", "route", "verdict"),
        )
        self.reasks = Counts(
            "sidecard_outputs_reasked_total",
            "Answers that broke their schema and were asked for again",
            ("target", "to"),
        )

    def call(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """Count a call that has ended, and its attempts."""
        route, mode = self._routes(call.route.name), call.mode.value
        error = outcome.error
        reason = "" if error is None else "INTERNAL"
        reason = error.reason if isinstance(error, SidecardError) else reason
        if outcome.ending.value == "abandoned":
            reason = ""
        source = head.source.value if head else ""
        self.calls.add(route, outcome.ending.value, source, reason)
        if call.route.name not in self._uncached:
            self.cache.add(route, _cached(call, source))
        self.call_seconds.add(outcome.ended_at - began, route, mode)
        if outcome.first_event_at is not None:
            self.first_event_seconds.add(outcome.first_event_at - began, route, mode)
            if call.mode is Mode.STREAM and source == "upstream":
                self._time_tokens(route, outcome, outcome.first_event_at)
        for attempt in call.trail:
            if not attempt.shared:
                self._attempt(attempt, call, route, outcome)

    def _attempt(self, attempt: Attempt, call: Call, route: str, outcome: Outcome) -> None:
        target = self._targets(attempt.target)
        self.attempts.add(target, attempt.error or "ANSWERED")
        self._gen_ai.attempt(attempt, target, outcome)
        if attempt.first_event_s is not None:
            self.attempt_first_event_seconds.add(attempt.first_event_s, target)
        if attempt.usage is not None:
            self._count_tokens(target, attempt.usage)
        if cost := attempt.cost_nano_usd:
            self.cost.add(route, target, self._tenants(call.tenant), by=cost / _NANO)
        elif cost is None and attempt.sent:
            self.cost_unknown.add(target)

    def route(self, name: str) -> str:
        """Return the label for a route."""
        return self._routes(name)

    def rpc(self, method: str, code: str, seconds: float) -> None:
        """Count an RPC that has ended, whatever became of it; over HTTP a path and a status."""
        self.rpcs.add(method, code)
        self.rpc_seconds.add(seconds, method)

    def _time_tokens(self, route: str, outcome: Outcome, first_event_at: float) -> None:
        tokens = outcome.usage.output_tokens if outcome.usage else 0
        if outcome.ending is Ending.COMPLETED and tokens > 1:
            self.token_seconds.add((outcome.ended_at - first_event_at) / tokens, route)

    def _count_tokens(self, target: str, usage: Usage) -> None:
        kinds = (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
        )
        for kind, number in kinds:
            if number:
                self.tokens.add(target, kind, by=number)

    def note(self, note: Note) -> None:
        """Count what a layer decided, unless it is only for the log."""
        if (count := self._counting.get(type(note))) is not None:
            count(note)

    def _ways_to_count(self) -> dict[type, Callable[[Any], None]]:
        name, route = self._targets, self._routes
        return {
            Retrying: lambda n: self.retries.add(name(n.target), n.error),
            RetriesEnded: lambda n: self.retries_ended.add(name(n.target), n.why),
            HedgeEnded: lambda n: self.hedges.add(name(n.target), n.won),
            MovedOn: lambda n: self.moves.add(name(n.target), name(n.to), n.error),
            Misconfigured: lambda n: self.misconfigured.add(name(n.target)),
            TurnCame: lambda n: self.waits.add(n.waited_s, name(n.target)),
            GateClosed: lambda n: self.gate_closed.add(name(n.target)),
            BudgetRefused: lambda n: self.budget_refused.add(
                n.budget, self._tenants(n.tenant), name(n.target)
            ),
            BudgetCrossed: lambda n: self.budget_crossed.add(n.budget, str(n.percent)),
            Shed: lambda n: self.shed.add(n.layer, route(n.route), n.why),
            StreamRescued: lambda n: self.rescued.add(name(n.target), n.how),
            OutputJudged: lambda n: self.outputs.add(name(n.target), route(n.route), n.verdict),
            AskedAgain: lambda n: self.reasks.add(name(n.target), name(n.to)),
            BreakerChanged: lambda n: self.breaker.add(name(n.target), n.after),
        }

    def summary(self) -> JsonObject:
        """Return what the status shows of all calls so far, each number by its labels."""
        return {
            "cache_calls": self.cache.told(),
            "tokens": self.tokens.told(),
            "latency": {
                "bounds_s": self.call_seconds.bounds,
                "call": self.call_seconds.told(),
                "first_event": self.first_event_seconds.told(),
            },
        }

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return all of it, as OpenMetrics if the Accept header names that, and its content type.

        Nothing else of the header counts: prometheus-client's own reading fails on odd versions.
        """
        encode: Callable[[CollectorRegistry], bytes] = generate_latest
        content_type = CONTENT_TYPE_PLAIN_0_0_4
        if _OPENMETRICS in accept:
            encode, content_type = openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST
        return encode(self.registry), content_type


_RESULTS: Final = {"cache_exact": "hit", "cache_stale": "stale", "coalesced": "coalesced"}
_BY_MODE: Final = {CacheMode.BYPASS: "bypass", CacheMode.REFRESH: "refresh"}


def _cached(call: Call, source: str) -> str:
    """Return what the cache had for a call whose answer is from that source."""
    return _RESULTS.get(source) or _BY_MODE.get(call.cache.mode, "miss")
