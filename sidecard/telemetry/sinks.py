"""One sink in front of several: what was noted goes to the log and to the metrics.

One that fails, which is a bug, takes nothing from the others and nothing from the call.
"""

import logging

from sidecard.core.call import Call
from sidecard.core.note import Note
from sidecard.core.outcome import Outcome
from sidecard.core.ports import CallSink, NoteSink
from sidecard.core.reply import Head

_log = logging.getLogger(__name__)


class Calls:
    """A `CallSink` that tells others, in their order."""

    def __init__(self, *sinks: CallSink) -> None:
        self._sinks = sinks

    def add(self, sink: CallSink) -> None:
        """Tell one more, from now on."""
        self._sinks = (*self._sinks, sink)

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """Tell all of them."""
        for sink in self._sinks:
            try:
                sink(call, head, outcome, began=began)
            except Exception:  # noqa: BLE001  # logged, and the call has its answer all the same
                _log.exception("a call wasn't noted")


class Notes:
    """A `NoteSink` that tells others, in their order."""

    def __init__(self, *sinks: NoteSink) -> None:
        self._sinks = sinks

    def add(self, sink: NoteSink) -> None:
        """Tell one more, from now on."""
        self._sinks = (*self._sinks, sink)

    def __call__(self, note: Note) -> None:
        """Tell all of them."""
        for sink in self._sinks:
            try:
                sink(note)
            except Exception:  # noqa: BLE001  # logged, and the layer goes on with its call
                _log.exception("a decision wasn't noted")
