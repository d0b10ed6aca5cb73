"""Coalesce: calls that ask the same at the same time share one call of what is behind, a flight.

Outside admission, so that a flight takes one permit and pays once; inside the exact cache,
so that what was answered before starts none. A caller who bypasses the cache
wants an answer of its own, and is passed through.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from sidecard.core.call import CacheMode, Call
from sidecard.core.clock import Clock
from sidecard.core.handler import Handler
from sidecard.core.reply import Reply
from sidecard.layers.flight import Flight
from sidecard.policy.fingerprint import Fingerprint, fingerprint
from sidecard.policy.sharing import Terms, terms


class Coalesce:
    """State: the flights that can be joined. Safe to share within one event loop.

    `shares` says by a route's name whether its calls do.
    `before` is whose flights can be joined here, too.
    """

    def __init__(
        self,
        next_: Handler,
        *,
        clock: Clock,
        fingerprint_of: Callable[[Call], Fingerprint] = fingerprint,
        shares: Callable[[str], bool] = lambda _: True,
        before: "Coalesce | None" = None,
    ) -> None:
        self._next = next_
        self._clock = clock
        self._shares = shares
        self._fingerprint_of = fingerprint_of
        self._flights: dict[Terms, Flight] = (
            before._flights if before else {}  # noqa: SLF001  # of its own class
        )

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """Return the answer of a flight, which the call starts or joins; raises its error."""
        alone = call.cache.mode is CacheMode.BYPASS or not self._shares(call.route.name)
        return self._next(call) if alone else self._shared(call)

    async def _shared(self, call: Call) -> Reply:
        key = terms(call, self._fingerprint_of(call))
        flight = self._flights.get(key)
        if flight is None or not flight.open:
            flight = Flight(self._next, call, clock=self._clock, landed=partial(self._landed, key))
            self._flights[key] = flight
        return await flight.board(call)

    def _landed(self, key: Terms, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    @property
    def flights(self) -> int:
        """How many flights can be joined now."""
        return len(self._flights)

    def __repr__(self) -> str:
        return f"<Coalesce, {len(self._flights)} in flight>"
