"""The last calls, for whoever looks at the daemon now: what became of each, and nothing it said.

Each call is kept, and few are looked at: so what is kept is told in words only then.
"""

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from sidecard.core.call import Call, Mode
from sidecard.core.clock import Clock
from sidecard.core.errors import SidecardError
from sidecard.core.event import NO_USAGE, Usage
from sidecard.core.jsonio import JsonObject
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import HitSink
from sidecard.core.reply import Head

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT: Final = 50


class _Kept(NamedTuple):
    at: float
    request_id: str
    tenant: str
    route: str
    mode: Mode
    ending: Ending
    error: str
    head: Head | None
    tried: str
    attempts: int
    duration_s: float
    first_event_s: float | None
    usage: Usage | None
    cost_nano_usd: int | None


class Recent:
    """A `CallSink` that keeps the last fifty calls. Safe to share within one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: deque[Callable[[], JsonObject]] = deque(maxlen=KEPT)

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """Keep what is known of a call that has ended; nothing of what it says is held."""
        error, first, trail = outcome.error, outcome.first_event_at, call.trail
        kept = _Kept(
            self._clock.wall(),
            call.request_id,
            call.tenant,
            call.route.name,
            call.mode,
            outcome.ending,
            error.reason if isinstance(error, SidecardError) else "",
            head,
            "" if head or not len(trail) else trail.last.target,
            trail.sent,
            outcome.ended_at - began,
            None if first is None else first - began,
            outcome.usage,
            trail.cost_nano_usd,
        )
        self._calls.append(partial(_told, kept))

    def alike(self, call: Call, head: Head, _outcome: Outcome) -> HitSink:
        """Return what keeps hits like this one."""
        of = (call.tenant, call.route.name, call.mode)
        same = _Kept(0.0, "", *of, Ending.COMPLETED, "", head, "", 0, 0.0, 0.0, NO_USAGE, 0)

        def tell(request_id: str, took_s: float, at: float) -> JsonObject:
            own = {"at": at, "request_id": request_id, "duration_s": took_s}
            return {**_told(same), **own, "first_event_s": took_s}

        def keep(request_id: str, _age_s: float, began: float, ended: float, wall: float) -> None:
            self._calls.append(partial(tell, request_id, ended - began, wall))

        return keep

    def told(self) -> list[JsonObject]:
        """Return the calls, the last one first."""
        return [tell() for tell in reversed(self._calls)]

    def __repr__(self) -> str:
        return f"<Recent, {len(self._calls)} of {KEPT}>"


def _told(kept: _Kept) -> JsonObject:
    head, usage = kept.head, kept.usage
    return {
        "at": kept.at,
        "request_id": kept.request_id,
        "tenant": kept.tenant,
        "route": kept.route,
        "mode": kept.mode.value,
        "outcome": kept.ending.value,
        "error": kept.error,
        "source": head.source.value if head else "",
        "target": head.target if head else kept.tried,
        "degraded": head.degraded if head else False,
        "attempts": kept.attempts,
        "duration_s": kept.duration_s,
        "first_event_s": kept.first_event_s,
        "input_tokens": usage.input_tokens if usage else 0,
        "output_tokens": usage.output_tokens if usage else 0,
        "cost_nano_usd": kept.cost_nano_usd,
    }
