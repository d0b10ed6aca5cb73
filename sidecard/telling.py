"""What the daemon tells of its state: the status document, and the gauges of the metrics."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from sidecard.config.reloads import Reloads
from sidecard.core.jsonio import JsonObject
from sidecard.core.store import StoreStats
from sidecard.core.version import VERSION
from sidecard.layers.admit import Admit
from sidecard.layers.coalesce import Coalesce
from sidecard.policy.breaker import State as BreakerState
from sidecard.policy.budget import Unit
from sidecard.policy.standing import nearest, told
from sidecard.state import State

_NANO: Final = 1_000_000_000
_MOST_TOLD: Final = 200
_MOST_SHOWN: Final = 50
"""Accounts of each budget, in the status and in the metrics: callers may make up tenants."""

Gauge = tuple[str, dict[str, str], float]


def status(
    state: State,
    admit: Admit,
    coalesce: Coalesce,
    reloads: Reloads,
    *,
    unready: str | None,
    uptime_s: float,
) -> JsonObject:
    """Return all that an operator may ask of a running daemon, as JSON can say it."""
    now = state.clock.now()
    return {
        "version": VERSION,
        "uptime_s": round(uptime_s, 1),
        "ready": True if unready is None else unready,
        "config": reloads.status(),
        "tasks": len(asyncio.all_tasks()),
        "routes": {
            name: [target.name for target in route.targets] for name, route in state.routes.items()
        },
        "targets": [
            {
                "target": target,
                "breaker": breaker.status(now),
                "limits": state.gates(target).status(now),
            }
            for target, breaker in state.breakers
        ],
        "admission": {
            name or "shared": places.status() for name, places in admit.bulkheads().items()
        },
        "prices": {"version": state.prices.version},
        "estimator": state.estimator.status(),
        "budgets": budgets(state),
        "retry_budget": state.retry_budget.status(now),
        "cache": {**asdict(state.store.stats()), "flights": coalesce.flights},
    }


def gauges(
    state: State, admit: Admit, coalesce: Coalesce, reloads: Reloads, *, busy: int, connections: int
) -> Iterator[Gauge]:
    """Yield what is read at each scrape: a gauge's name, its labels and its value.

    `busy` is how many answers of the upstream are being read, over so many open `connections`.
    """
    now = state.clock.now()
    yield "sidecard_info", {"version": VERSION}, 1.0
    yield from _configured(reloads)
    yield "sidecard_prices_info", {"version": state.prices.version}, 1.0
    yield "sidecard_upstream_busy", {}, float(busy)
    yield "sidecard_upstream_connections", {}, float(connections)
    for target, breaker in state.breakers:
        for known in BreakerState:
            labels = {"target": target, "state": known.value}
            yield "sidecard_breaker_state", labels, float(breaker.state is known)
    for target, gate in state.gates:
        for kind, limit in gate.status(now).items():
            if isinstance(limit, dict):
                labels = {"target": target, "kind": kind}
                yield "sidecard_limit_per_minute", labels, float(limit["per_minute"])
                yield "sidecard_limit_room", labels, float(limit["room"])
    for name, places in admit.bulkheads().items():
        route = {"places": name or "shared"}
        told = places.status()
        yield "sidecard_in_flight", route, float(places.in_flight)
        yield "sidecard_in_flight_limit", route, float(places.limit)
        for priority in ("interactive", "batch"):
            waiting = told[priority]
            if isinstance(waiting, int):
                yield "sidecard_queued", {**route, "priority": priority}, float(waiting)
    yield "sidecard_retry_budget", {}, state.retry_budget.status(now)["left"]
    yield "sidecard_flights", {}, float(coalesce.flights)
    yield from _spent(state)
    yield from _stored(state.store.stats())


def budgets(state: State) -> JsonObject:
    """Return how the budgets stand: of each those accounts that are nearest to their limit.

    `why` says what keeps the ledger from being written, "" when nothing does.
    """
    wall = state.clock.wall()
    found = nearest(state.ledger, wall, _MOST_TOLD)
    return {
        "why": state.book.why,
        "open": state.ledger.open,
        "left_open": state.book.left_open._asdict(),
        "accounts": [told(standing, wall) for standing in found],
    }


def _configured(reloads: Reloads) -> Iterator[Gauge]:
    yield "sidecard_config_info", {"sha256": reloads.sha256}, 1.0
    yield "sidecard_config_last_reload_successful", {}, float(reloads.successful)
    yield "sidecard_config_last_reload_success_timestamp_seconds", {}, reloads.loaded_at
    yield "sidecard_config_reloads_total", {}, float(reloads.count)
    yield "sidecard_config_reload_failures_total", {}, float(reloads.failures)
    for field in reloads.waiting:
        yield "sidecard_config_restart_needed", {"field": field}, 1.0


def _spent(state: State) -> Iterator[Gauge]:
    yield "sidecard_ledger_available", {}, float(not state.book.why)
    for standing in nearest(state.ledger, state.clock.wall(), _MOST_SHOWN):
        budget = standing.budget
        labels = {"budget": budget.name, "of": " ".join(standing.values), "unit": budget.unit.value}
        scale = _NANO if budget.unit is Unit.DOLLARS else 1
        yield "sidecard_budget_spent", labels, standing.spent / scale
        yield "sidecard_budget_reserved", labels, standing.reserved / scale
        left = max(budget.limit - standing.spent - standing.reserved, 0)
        yield "sidecard_budget_left", labels, left / scale
        yield "sidecard_budget_limit", labels, budget.limit / scale


def _stored(stats: StoreStats) -> Iterator[Gauge]:
    yield "sidecard_cache_available", {}, float(not stats.why)
    for name in ("entries", "bytes", "max_bytes", "queued"):
        yield f"sidecard_cache_{name}", {}, float(getattr(stats, name))
    for name in ("written", "dropped", "unreadable", "set_aside"):
        yield f"sidecard_cache_{name}_total", {}, float(getattr(stats, name))
    for why in ("expired", "evicted", "damaged"):
        yield "sidecard_cache_removed_total", {"why": why}, float(getattr(stats, why))
