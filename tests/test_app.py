"""The composition root: the order of the stack, and one version everywhere."""

from importlib.metadata import version
from typing import Any

from sidecard.app import build_stack
from sidecard.core.version import VERSION
from sidecard.layers.observe import Observe
from sidecard.upstream.client import Client
from sidecard.upstream.handler import Limits, Upstream
from tests.support.clock import ManualClock


def test_the_order_of_the_stack() -> None:
    """The layers are those of the architecture that exist, the outermost first."""
    clock = ManualClock()
    layer: Any = build_stack(
        Client(None, clock=clock),  # type: ignore[arg-type]  # nothing is sent
        limits_of=lambda _: Limits(first_event_s=1, idle_s=1, max_answer_bytes=1),
        sink=lambda *_, **__: None,
        clock=clock,
    )
    order = []
    while layer is not None:
        order.append(type(layer))
        layer = getattr(layer, "_next", None)
    assert order == [Observe, Upstream]


def test_one_version() -> None:
    """The constant that is sent upstream is the version of both distributions."""
    assert version("sidecard") == version("sidecard-client") == VERSION
