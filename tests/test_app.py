"""The composition root: the order of the stack, and one version everywhere."""

import gc
from importlib.metadata import version
from typing import Any

from sidecard.app import build_stack
from sidecard.config.schema import Config
from sidecard.core.version import VERSION
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
from tests.support.clock import ManualClock


def test_the_order_of_the_stack() -> None:
    """The layers are those of the architecture that exist, the outermost first."""
    clock = ManualClock()
    stack = build_stack(
        Client(None, clock=clock),  # type: ignore[arg-type]  # nothing is sent
        State(Config(), notes=lambda _: None, clock=clock),
        sink=lambda *_, **__: None,
        notes=lambda _: None,
    )
    layer: Any = stack.handler
    order = []
    assert stack.admit.bulkheads()[""].in_flight == 0
    while layer is not None:
        order.append(type(layer))
        layer = getattr(layer, "_next", None)
    assert order == [
        Observe, ExactCache, Coalesce, Structured, Bound, Admit, Rescue, Fallback, Retry,
        Hedge, Spend, Break, RateLimit, Upstream,
    ]  # fmt: skip


def test_one_version() -> None:
    """The constant that is sent upstream is the version of both distributions."""
    assert version("sidecard") == version("sidecard-client") == VERSION


def test_reloads_leave_nothing_behind() -> None:
    """However often the configuration changes, no state of an earlier one is kept for it."""
    clock = ManualClock()
    client = Client(None, clock=clock)  # type: ignore[arg-type]  # as above
    state = State(Config(), notes=lambda _: None, clock=clock)
    stack = None
    for number in range(50):
        config = Config.model_validate({"retry": {"max_attempts": 1 + number % 3}})
        state = state.renewed(config)
        stack = build_stack(
            client, state, sink=lambda *_, **__: None, notes=lambda _: None, before=stack
        )
    gc.collect()
    kept = [found for found in gc.get_objects() if isinstance(found, State)]
    # The first made what lasts: breakers, and the ledger, which tell it of changes.
    assert len([found for found in kept if found.clock is clock]) <= 2
