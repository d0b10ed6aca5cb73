"""The last calls, for whoever looks at the daemon now: what became of each, and nothing it said."""

from collections import deque
from typing import Final

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.errors import SidecardError
from sidecard.core.jsonio import JsonObject
from sidecard.core.outcome import Outcome
from sidecard.core.reply import Head

KEPT: Final = 50


class Recent:
    """A `CallSink` that keeps the last fifty calls. Safe to share within one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: deque[JsonObject] = deque(maxlen=KEPT)

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """Keep what is known of a call that has ended; nothing of the call itself is held."""
        error, first = outcome.error, outcome.first_event_at
        usage = outcome.usage
        self._calls.append(
            {
                "at": self._clock.wall(),
                "request_id": call.request_id,
                "tenant": call.tenant,
                "route": call.route.name,
                "mode": call.mode.value,
                "outcome": outcome.ending.value,
                "error": error.reason if isinstance(error, SidecardError) else "",
                "source": head.source.value if head else "",
                "target": head.target if head else "",
                "degraded": head.degraded if head else False,
                "attempts": call.trail.sent,
                "duration_s": outcome.ended_at - began,
                "first_event_s": None if first is None else first - began,
                "input_tokens": usage.input_tokens if usage else 0,
                "output_tokens": usage.output_tokens if usage else 0,
                "cost_nano_usd": call.trail.cost_nano_usd,
            }
        )

    def told(self) -> list[JsonObject]:
        """Return the calls, the last one first."""
        return list(reversed(self._calls))

    def __repr__(self) -> str:
        return f"<Recent, {len(self._calls)} of {KEPT}>"
