"""The stack: what answers calls, put together from the inside out.

`build_stack` is the architecture; read it first.
"""

import random
from typing import NamedTuple

from sidecard.core.handler import Handler
from sidecard.core.ports import CallSink, NoteSink
from sidecard.layers.admit import Admit
from sidecard.layers.bound import Bound
from sidecard.layers.breaker import Break
from sidecard.layers.budget import Spend
from sidecard.layers.coalesce import Coalesce
from sidecard.layers.exact_cache import ExactCache
from sidecard.layers.fallback import Fallback
from sidecard.layers.hedge import Hedge
from sidecard.layers.observe import Observe
from sidecard.layers.rate_limit import RateLimit
from sidecard.layers.rescue import Rescue
from sidecard.layers.retry import Retry
from sidecard.layers.structured import Structured
from sidecard.state import State
from sidecard.upstream.client import Client
from sidecard.upstream.handler import Upstream


class Stack(NamedTuple):
    """The handler that answers calls, and those of its layers that others ask."""

    handler: Handler
    admit: Admit
    coalesce: Coalesce
    cache: ExactCache
    limit: RateLimit


class Before(NamedTuple):
    """Those of an earlier stack's layers that the next one's go on with, if there was one."""

    admit: Admit | None = None
    coalesce: Coalesce | None = None
    cache: ExactCache | None = None
    limit: RateLimit | None = None


def _asking(
    client: Client, state: State, notes: NoteSink, before: RateLimit | None
) -> tuple[Handler, RateLimit]:
    """Return what asks one target, from the inside out, and what holds it back."""
    clock = state.clock
    # One attempt at one target: nothing is returned before its first content is in hand.
    stack: Handler = Upstream(client, limits_of=state.limits, cost_of=state.cost_of, clock=clock)
    # A target is sent no more requests and tokens than it takes, and nothing while it says no.
    stack = limit = RateLimit(stack, gate_of=state.gates, notes=notes, clock=clock, before=before)
    # A target that fails too often, or too slowly, is left alone for a while.
    stack = Break(stack, breaker_of=state.breakers, usual_s=state.usual_s, clock=clock)
    # Whatever is sent is paid for: its worst case is set aside before, and the rest given back.
    stack = Spend(
        stack,
        ledger=state.ledger,
        worst_of=state.worst_of,
        worst_of_cut=state.worst_of_cut,
        book=state.book,
        closed=state.closed,
        counts_unpriced=state.counts_unpriced,
        clock=clock,
        notes=notes,
    )
    # An attempt that is late gets company, where a route wants it, and the first answer counts.
    stack = Hedge(
        stack,
        policies=state.hedge,
        budget=state.retry_budget,
        latency_of=state.route_times,
        clock=clock,
        notes=notes,
    )
    # What may be gone at the next attempt is tried again, as far as budget and deadline allow.
    stack = Retry(
        stack,
        policies=state.retry,
        budget=state.retry_budget,
        latency_of=state.target_times,
        clock=clock,
        notes=notes,
        chance=random.random,
    )
    return stack, limit


def build_stack(
    client: Client,
    state: State,
    *,
    sink: CallSink,
    notes: NoteSink,
    before: Stack | None = None,
    content: bool = False,
) -> Stack:
    """Return the handler that answers calls, put together from the inside out.

    `before` is the stack of the configuration before: who runs, waits or can be joined there
    counts here, too. With `content` the sink finds what was answered.
    """
    clock, earlier = state.clock, Before(*before[1:]) if before else Before()
    # One target is asked, and asked again, as far as limits and budgets allow.
    stack, limit = _asking(client, state, notes, earlier.limit)
    # When a target is given up the next one is asked, and then what may stand in for an answer.
    stack = Fallback(stack, clock=clock, notes=notes, stale=state.answers.stale)
    # A stream that breaks in the middle goes on at another target, if that is wanted.
    stack = Rescue(stack, clock=clock, notes=notes)
    # As many calls run as there are permits; others wait in a fair order, or are refused at once.
    shared, own = state.admission()
    stack = admit = Admit(
        stack, policies=own, shared=shared, clock=clock, notes=notes, before=earlier.admit
    )
    # What is larger than its caller allows, or has no price where it needs one, is refused.
    stack = Bound(stack, estimator=state.estimator, priced=state.priced)
    # What is asked for with a schema satisfies it, if need be at a second try, or is an error.
    stack = Structured(stack, state.judge, policies=state.structured, clock=clock, notes=notes)
    # Equal calls of a tenant at one moment share one answer, and it is paid for once.
    stack = coalesce = Coalesce(
        stack,
        clock=clock,
        fingerprint_of=state.fingerprints,
        shares=lambda route: state.keeping(route).coalesce,
        before=earlier.coalesce,
    )
    # What was answered before is answered again, at once and at no cost, as long as it is fresh.
    anew = Observe(stack, sink=sink, clock=clock)
    stack = cache = ExactCache(
        stack, answers=state.answers, clock=clock, refresh=anew, before=earlier.cache
    )
    # Whatever became of the call, it is noted once, as the caller saw it.
    stack = Observe(stack, sink=sink, clock=clock, content=content)
    return Stack(stack, admit, coalesce, cache, limit)
