"""`Coalesce` through the suite that every layer is run through."""

from sidecard.core.handler import Handler
from sidecard.layers.coalesce import Coalesce
from tests.support.clock import ManualClock
from tests.support.conformance import LayerConformance


class TestCoalesce(LayerConformance):
    """A lone call, which finds nobody to share with."""

    def layer(self, next_: Handler) -> Handler:
        return Coalesce(next_, clock=ManualClock())
