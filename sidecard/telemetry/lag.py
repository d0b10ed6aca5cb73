"""The event loop's lag: how much later than planned something is done that costs nothing.

Whatever holds the loop holds every call; a large request, a slow disk or another process does.
"""

from collections.abc import Callable
from typing import Final

from sidecard.core.clock import Clock, Timer

EVERY_S: Final = 0.25


class LoopLag:
    """Looks four times a second, once it is started, and tells `note` the seconds of delay."""

    def __init__(self, clock: Clock, note: Callable[[float], object]) -> None:
        self._clock = clock
        self._note = note
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to look."""
        self._plan()

    def stop(self) -> None:
        """End that. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _plan(self) -> None:
        planned = self._clock.now() + EVERY_S

        def look() -> None:
            self._note(max(self._clock.now() - planned, 0.0))
            self._plan()

        self._timer = self._clock.call_at(planned, look)

    def __repr__(self) -> str:
        return f"<LoopLag, {'stopped' if self._timer is None else 'looking'}>"
