"""Notes to the log: what the layers decided, as an operator wants to read it.

What happens with every call of an outage is told in the call's own line;
here it gets one line in a while, with the number of those that were left out.
"""

import logging
from typing import Final

from sidecard.core.clock import Clock
from sidecard.core.ledger import LedgerOpened, LedgerOut, LedgerSetAside
from sidecard.core.note import (
    AskedAgain,
    BreakerChanged,
    BudgetCrossed,
    BudgetRefused,
    GateClosed,
    Hedged,
    HedgeEnded,
    Misconfigured,
    MovedOn,
    Note,
    OutputJudged,
    RetriesEnded,
    Retrying,
    Shed,
    StreamRescued,
    TurnCame,
)
from sidecard.core.store import StoreChecking, StoreKeysKept, StoreOpened, StoreOut, StoreSetAside

_log: Final = logging.getLogger("sidecard.layers")

_MISCONFIGURED_S: Final = 60.0
_GATE_S: Final = 1.0
_SHED_S: Final = 10.0
_HALF: Final = 50
_KEYS: Final = 1_000
"""How many things are told apart in what was told lately: targets may be any number."""


class NoteLog:
    """A `NoteSink` that writes lines. Safe to share within one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._seldom = _Seldom(clock)

    def __call__(self, note: Note) -> None:
        """Write a line about the note, unless one like it was written just now."""
        facts: dict[str, object]
        match note:
            case BreakerChanged():
                self._breaker(note)
            case Misconfigured():
                facts = {"target": note.target, "request_id": note.request_id, "why": note.message}
                self._at_most_every(_MISCONFIGURED_S, logging.ERROR, "target misconfigured", facts)
            case GateClosed():
                facts = {"target": note.target, "for_s": round(note.for_s, 3)}
                self._at_most_every(_GATE_S, logging.WARNING, "rate limit closed", facts)
            case Shed():
                facts = {"layer": note.layer, "route": note.route, "why": note.why}
                self._at_most_every(_SHED_S, logging.WARNING, "calls shed", facts)
            case BudgetCrossed():
                level = logging.WARNING if note.percent > _HALF else logging.INFO
                _log.log(level, "budget crossed", extra=_facts(note))
            case BudgetRefused():
                facts = {"budget": note.budget, "tenant": note.tenant, "why": note.need}
                self._at_most_every(_SHED_S, logging.WARNING, "budget refuses", facts)
            case HedgeEnded() | TurnCame():
                pass  # Counted only.
            case _:
                level, event = _EVENTS[type(note)]
                if _log.isEnabledFor(level):
                    _log.log(level, event, extra=_facts(note))

    def _breaker(self, note: BreakerChanged) -> None:
        level = logging.INFO if note.after in {"closed", "half_open"} else logging.WARNING
        _log.log(level, "breaker", extra=_facts(note))

    def _at_most_every(
        self, every_s: float, level: int, event: str, facts: dict[str, object]
    ) -> None:
        left_out = self._seldom.due(
            (event, facts.get("target", facts.get("layer", facts.get("budget")))), every_s
        )
        if left_out is not None:
            _log.log(level, event, extra={**facts, "left_out": left_out} if left_out else facts)


_EVENTS: Final[dict[type, tuple[int, str]]] = {
    StreamRescued: (logging.WARNING, "stream rescued"),
    Retrying: (logging.DEBUG, "retrying"),
    RetriesEnded: (logging.DEBUG, "retries ended"),
    Hedged: (logging.DEBUG, "hedged"),
    MovedOn: (logging.DEBUG, "moved on"),
    LedgerOpened: (logging.INFO, "ledger opened"),
    LedgerOut: (logging.ERROR, "ledger out"),
    LedgerSetAside: (logging.ERROR, "ledger file set aside"),
    AskedAgain: (logging.INFO, "asked again"),
    OutputJudged: (logging.DEBUG, "output judged"),
    StoreOpened: (logging.INFO, "cache opened"),
    StoreChecking: (logging.INFO, "cache being checked"),
    StoreOut: (logging.WARNING, "cache out"),
    StoreSetAside: (logging.ERROR, "cache file set aside"),
    StoreKeysKept: (logging.ERROR, "cache keys kept"),
}


def _facts(note: Note) -> dict[str, object]:
    """Return a note's fields; they are slots, so there is no `__dict__` to take."""
    return {name: getattr(note, name) for name in type(note).__slots__}


class _Seldom:
    """Remembers when each thing was told last, and how often it wasn't since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[tuple[str, object], tuple[float, int]] = {}

    def due(self, key: tuple[str, object], every_s: float) -> int | None:
        """Return how many were left out before this one, None when this one is, too."""
        now = self._clock.now()
        at, left_out = self._told.get(key, (float("-inf"), 0))
        if now - at < every_s:
            self._told[key] = (at, left_out + 1)
            return None
        if len(self._told) >= _KEYS:
            self._told.clear()
        self._told[key] = (now, 0)
        return left_out
