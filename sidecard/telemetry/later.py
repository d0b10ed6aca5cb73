"""What is told a little later, and together: of calls that have ended, and of what is about them.

Measured, to tell of a hit right away took a tenth of it: between two calls gRPC has taken the
processor's caches. Many told of in a row find there what the one before needed.
And no caller waits for it.
"""

import logging
from collections.abc import Callable
from typing import Final

from sidecard.core.clock import Clock, Timer

_MOST: Final = 256
_GATHER_S: Final = 0.01
"""So many things wait, for so long, at most."""

_log = logging.getLogger(__name__)


class Later:
    """State: what waits. Not to be shared between event loops.

    Whoever looks at what has been told calls `flush` first, and so does who ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: Timer | None = None
        self._waiting: list[tuple[tuple[Callable[..., object], ...], tuple[object, ...]]] = []

    def to(self, *sinks: Callable[..., object]) -> Callable[..., None]:
        """Return what takes what the sinks are told later, in the order of its coming.

        One that fails, which is a bug, takes nothing from the others.
        """
        waiting = self._waiting

        def tell(*what: object) -> None:
            waiting.append((sinks, what))
            if self._timer is None:
                self._timer = self._clock.call_at(self._clock.now() + _GATHER_S, self.flush)
            elif len(waiting) >= _MOST:
                self.flush()

        return tell

    def flush(self) -> None:
        """Tell all that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered = self._waiting[:]
        self._waiting.clear()
        for sinks, what in gathered:
            for sink in sinks:
                try:
                    sink(*what)
                except Exception:  # noqa: BLE001  # logged, and the others are told all the same
                    _log.exception("something wasn't noted")

    def __repr__(self) -> str:
        return f"<Later, {len(self._waiting)} waiting>"
