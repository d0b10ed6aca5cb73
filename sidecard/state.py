"""What outlives calls: what the layers decide on, made from the configuration.

All of it belongs to one event loop. What is kept for a target is found by its name alone,
so that routes that share a model share its breaker, its limits and what was learned of it.
"""

import random
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from sidecard.config import merged
from sidecard.config.budget_list import budgets_of
from sidecard.config.price_list import prices_of
from sidecard.config.resilience import Admission
from sidecard.config.schema import Config
from sidecard.core.call import Call, LastResort, Mode, Route, Structured, Target
from sidecard.core.clock import Clock
from sidecard.core.event import Usage
from sidecard.core.ledger import LeftOpen
from sidecard.core.note import BreakerChanged, BudgetCrossed
from sidecard.core.ports import NoteSink
from sidecard.core.store import Store
from sidecard.layers.answers import Answers
from sidecard.layers.budget import tokens_of
from sidecard.policy.admission import AdmissionPolicy
from sidecard.policy.backoff import RetryPolicy
from sidecard.policy.breaker import Breaker, BreakerPolicy, Change
from sidecard.policy.breaker import State as BreakerState
from sidecard.policy.budget import Amounts
from sidecard.policy.concurrency import AdaptivePolicy
from sidecard.policy.estimator import Estimator
from sidecard.policy.fingerprint import Fingerprints
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.hedge import HedgePolicy
from sidecard.policy.intake import Intake
from sidecard.policy.keeping import KeepingPolicy
from sidecard.policy.keyed import Keyed
from sidecard.policy.latency import LatencyQuantiles
from sidecard.policy.ledger import Crossed, Ledger, amount_text
from sidecard.policy.redaction import Redactor
from sidecard.policy.refusing import IntakePolicy
from sidecard.policy.retry_budget import RetryBudget
from sidecard.policy.structured import StructuredPolicy
from sidecard.policy.worst_case import worst_case, worst_of_cut
from sidecard.schema.checker import Checker
from sidecard.store.ledger_memory import MemoryBook
from sidecard.store.memory import MemoryStore
from sidecard.upstream.handler import Limits

if TYPE_CHECKING:
    from sidecard.core.ledger import Book


class State:
    """Breakers, gates, latencies and policies by name, and the one retry budget.

    `book` is where the ledger is kept.
    `origin` names the upstream: what one answered isn't taken for another's.
    `before` is the state under the configuration before, which this one goes on with: both share
    what was learned, so that a call that still runs under the one counts in the other.
    `routes` are the configured ones. Names that no configuration has get what is set for all.
    """

    def __init__(
        self,
        config: Config,
        *,
        notes: NoteSink,
        clock: Clock,
        store: Store | None = None,
        origin: str = "",
        before: "State | None" = None,
    ) -> None:
        self._config = config
        self._notes = notes
        self.clock = clock
        self.store = store or MemoryStore(max_bytes=config.cache.max_bytes)
        self.origin = origin
        routes = config.routes.values()
        models = dict.fromkeys([target.model for route in routes for target in route.targets])
        names = config.routes.keys()
        self.routes = _routes(config)
        self.breakers = Keyed(self._breaker, kept=models, holds=_is_open)
        self.gates = Keyed(lambda name: Gate(self._limiting(name)), kept=models, holds=_limits)
        self.target_times = Keyed(lambda _: LatencyQuantiles(), kept=models)
        self.route_times = Keyed(
            lambda _: LatencyQuantiles(), kept=[f"{n} {m.value}" for n in names for m in Mode]
        )
        self.limits = Keyed(self._limits, kept=models)
        self.prices = prices_of(config)
        self.cost_of = self.prices.cost
        self.estimator = Estimator()
        self.counts_unpriced = config.prices.unknown != "allow"
        self.ledger = Ledger(
            budgets_of(config), crossed=self._crossed, counts_unpriced=self.counts_unpriced
        )
        self.closed = config.budgets.on_ledger_failure == "closed"
        self.book: Book = MemoryBook(clock)
        self.retry = Keyed(self._retry, kept=names)
        self.hedge = Keyed(self._hedge, kept=names)
        self.keeping = Keyed(self._keeping, kept=names)
        self.judge = Checker()
        self.structured = Keyed(self._structured, kept=names)
        self.fingerprints = Fingerprints(origin)
        self.answers = self._remembered()
        self.retry_budget = RetryBudget(config.retry.budget_ratio, config.retry.budget_floor_per_s)
        if before is not None:
            self._go_on_with(before)

    def _remembered(self) -> Answers:
        return Answers(
            self.store,
            policy_of=self.keeping,
            fingerprint_of=self.fingerprints,
            clock=self.clock,
            chance=random.random,
        )

    def renewed(self, config: Config) -> "State":
        """Return the state under another configuration; this one isn't to be used for new calls."""
        notes, clock, store, origin = self._notes, self.clock, self.store, self.origin
        return State(config, notes=notes, clock=clock, store=store, origin=origin, before=self)

    def _go_on_with(self, before: "State") -> None:
        """Take over what was learned and spent, under what is configured now."""
        now, retry = self.clock.now(), self._config.retry
        self.breakers.inherit(
            before.breakers, lambda name, known: known.adopt(self._breaking(name), now)
        )
        self.gates.inherit(before.gates, lambda name, known: known.adopt(self._limiting(name), now))
        self.target_times.inherit(before.target_times)
        self.route_times.inherit(before.route_times)
        self.retry_budget = before.retry_budget
        self.retry_budget.adopt(retry.budget_ratio, retry.budget_floor_per_s)
        self.ledger = before.ledger
        self.ledger.adopt(
            budgets_of(self._config), self.clock.wall(), counts_unpriced=self.counts_unpriced
        )
        self.book = before.book
        self.estimator = before.estimator
        self.judge = before.judge
        self.fingerprints = before.fingerprints
        self.answers = before.answers
        self.answers.policy_of = self.keeping

    def admission(self) -> tuple[AdmissionPolicy, dict[str, AdmissionPolicy]]:
        """Return the places that all share, and those that a route has of its own."""
        config = self._config
        own = {name: merged.admission_of(config, name) for name in config.routes}
        return (
            _admission(config.admission),
            {name: _admission(section) for name, section in own.items() if section is not None},
        )

    def intake(self) -> Intake:
        """Return what takes calls in."""
        return Intake(Keyed(self._input, kept=self._config.routes), self.redactor)

    @cached_property
    def redactor(self) -> Redactor:
        """Return what hides what is personal or secret."""
        return Redactor(self._config.redaction.patterns)

    def priced(self, model: str) -> bool:
        """Whether a model may be called, as far as its price goes."""
        return self._config.prices.unknown != "refuse" or self.prices.find(model) is not None

    def worst_of(self, call: Call) -> Amounts:
        """Return the most that an attempt of the call can use and cost."""
        model, estimator = call.target.name, self.estimator
        tokens = estimator.upper(call, model) + call.parameters["max_tokens"]
        cost = worst_case(call, model, prices=self.prices, estimator=estimator)
        return Amounts(cost, tokens)

    def worst_of_cut(self, call: Call, usage: Usage) -> Amounts | None:
        """Return the most that an attempt used which broke off, None where that isn't known."""
        most = worst_of_cut(call, usage)
        if most is None:
            return None
        return Amounts(self.cost_of(call.target.name, most), tokens_of(most))

    async def release_left(self) -> LeftOpen:
        """Take for unspent what processes that died left open; raises `LedgerFailed`."""
        return await self.book.release_left(self.ledger.give_back)

    def usual_s(self, target: str) -> float | None:
        """Return the 95th percentile of a target's first-event times, None until it is known."""
        return self.target_times(target).quantile(0.95)

    def _input(self, route: str) -> IntakePolicy:
        section = merged.input_of(self._config, route)
        return IntakePolicy(
            max_bytes=section.max_bytes,
            content=None if section.content is None else frozenset(section.content),
            tools=section.tools,
            tenants=section.tenants,
            redact=section.redact,
        )

    def _crossed(self, crossed: Crossed) -> None:
        budget = crossed.budget
        spent, limit = (amount_text(budget.unit, n) for n in (crossed.spent, budget.limit))
        of = " ".join(crossed.values)
        self._notes(BudgetCrossed(budget.name, of, crossed.percent, spent, limit))

    def _breaker(self, model: str) -> Breaker:
        def changed(change: Change) -> None:
            before, after = change.before.value, change.after.value
            self._notes(BreakerChanged(model, before, after, change.why))

        return Breaker(self._breaking(model), chance=random.random, on_change=changed)

    def _breaking(self, model: str) -> BreakerPolicy:
        return BreakerPolicy(**merged.breaker_of(self._config, model).model_dump())

    def _limiting(self, model: str) -> LimitsPolicy:
        return LimitsPolicy(**merged.limits_of(self._config, model).model_dump())

    def _limits(self, model: str) -> Limits:
        timeouts = merged.timeouts_of(self._config, model)
        upstream = self._config.upstream
        return Limits(
            first_event_s=timeouts.first_event_s,
            idle_s=timeouts.idle_s,
            max_answer_bytes=upstream.max_answer_bytes,
            unstreamed_max_tokens=upstream.unstreamed_max_tokens,
        )

    def _retry(self, route: str) -> RetryPolicy:
        section = merged.retry_of(self._config, route)
        return RetryPolicy(
            max_attempts=section.max_attempts,
            base_s=section.base_s,
            max_delay_s=section.max_delay_s,
            max_retry_after_s=section.max_retry_after_s,
        )

    def _hedge(self, route: str) -> HedgePolicy:
        return HedgePolicy(**merged.hedge_of(self._config, route).model_dump())

    def _structured(self, route: str) -> StructuredPolicy:
        return StructuredPolicy(**merged.structured_of(self._config, route).model_dump())

    def _keeping(self, route: str) -> KeepingPolicy:
        section = merged.keeping_of(self._config, route)
        return KeepingPolicy(
            enabled=section.enabled,
            ttl_s=section.ttl_s,
            ttl_jitter=section.ttl_jitter,
            stale_if_error_s=section.stale_if_error_s,
            stale_while_revalidate_s=section.stale_while_revalidate_s,
            stop_reasons=frozenset(section.stop_reasons),
            degraded=section.degraded,
            coalesce=section.coalesce,
        )


def _is_open(breaker: Breaker) -> bool:
    return breaker.state is not BreakerState.CLOSED


def _limits(gate: Gate) -> bool:
    return not gate.unlimited


def _routes(config: Config) -> Mapping[str, Route]:
    return {
        name: Route(
            name=name,
            targets=tuple(
                [
                    Target(t.model, t.max_output_tokens, Structured(t.structured))
                    for t in route.targets
                ]
            ),
            max_tokens=route.max_tokens,
            max_attempts=merged.retry_of(config, name).max_attempts_per_call,
            last_resorts=frozenset([LastResort(resort) for resort in route.last_resorts]),
            static_message=route.static_message,
            continue_stream=route.continue_stream,
        )
        for name, route in config.routes.items()
    }


def _admission(section: Admission) -> AdmissionPolicy:
    adaptive = None
    if section.adaptive:
        adaptive = AdaptivePolicy(
            min_limit=section.adaptive_min, tolerance=section.adaptive_tolerance
        )
    return AdmissionPolicy(
        in_flight=section.in_flight,
        queue=section.queue,
        batch_max_wait_s=section.batch_max_wait_s,
        adaptive=adaptive,
    )
