"""One sink in front of several: what was noted goes to the log and to the metrics.

One that fails, which is a bug, takes nothing from the others and nothing from the call.
"""

import logging

from sidecard.core.call import Call
from sidecard.core.note import Note
from sidecard.core.outcome import Outcome
from sidecard.core.ports import Alike, CallSink, HitSink, NoteSink
from sidecard.core.reply import Head
from sidecard.telemetry.later import Later

_log = logging.getLogger(__name__)


def _each(_call: Call, _head: Head, _outcome: Outcome) -> HitSink | None:
    """Tell of each hit as of any call."""
    return None


class Calls:
    """A `CallSink` that tells others, in their order, a little later: when callers have theirs."""

    def __init__(self, later: Later) -> None:
        self._later = later
        self._gather = later.to(self._tell)
        self._sinks: tuple[CallSink, ...] = ()
        self._alike: tuple[Alike, ...] = ()

    def add(self, sink: CallSink, *, alike: Alike = _each) -> None:
        """Tell one more, from now on; of hits that are alike what `alike` gives for them."""
        self._sinks = (*self._sinks, sink)
        self._alike = (*self._alike, alike)

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """Have all of them told."""
        self._gather(call, head, outcome, began)

    def _tell(self, call: Call, head: Head | None, outcome: Outcome, began: float) -> None:
        for sink in self._sinks:
            try:
                sink(call, head, outcome, began=began)
            except Exception:  # noqa: BLE001  # logged, and the call has its answer all the same
                _log.exception("a call wasn't noted")

    def alike(self, call: Call, head: Head, outcome: Outcome) -> HitSink | None:
        """Return what takes note of hits like this one, None where a sink needs each as a call."""
        made = [alike(call, head, outcome) for alike in self._alike]
        sinks = [sink for sink in made if sink is not None]
        return self._later.to(*sinks) if len(sinks) == len(made) else None


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
