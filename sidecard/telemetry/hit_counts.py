"""Hits in the metrics: what `Metrics.call` counts of each, with the series looked up once."""

from bisect import bisect_left

from sidecard.core.call import Call
from sidecard.core.outcome import Outcome
from sidecard.core.ports import HitSink
from sidecard.core.reply import Head
from sidecard.telemetry.metrics import Metrics


def counting(metrics: Metrics, call: Call, head: Head, outcome: Outcome) -> HitSink:
    """Return what counts hits like this one."""
    route, mode, source = metrics.route(call.route.name), call.mode.value, head.source.value
    calls = metrics.calls.one(route, outcome.ending.value, source, "")
    hits = metrics.cache.one(route, "hit")
    took = metrics.call_seconds.one(route, mode)
    first = metrics.first_event_seconds.one(route, mode)
    bounds = metrics.call_seconds.bounds  # Both histograms have the same.

    def count(_request_id: str, _age_s: float, began: float, ended: float, _wall: float) -> None:
        seconds = ended - began
        bucket = bisect_left(bounds, seconds)
        calls.value += 1
        hits.value += 1
        took.counts[bucket] += 1
        took.sum_s += seconds
        first.counts[bucket] += 1
        first.sum_s += seconds

    return count
