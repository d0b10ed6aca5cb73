"""State for each target, made when it is first asked for, and bounded.

Callers may name any model that the configuration's patterns allow,
so what is kept for each has to be forgotten again: the least recently used first,
and what holds calls back last, lest made-up names could open a breaker's target to all.
What the configuration names stays.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def _as_it_is(_name: str, _state: object) -> None:
    """Change nothing of a state."""


class Keyed(Generic[T]):
    """Calls as a function from a name to its state. Safe to share within one event loop.

    A state that `holds` is forgotten when all do.
    """

    __slots__ = ("_holds", "_kept", "_limit", "_make", "_passing")

    def __init__(
        self,
        make: Callable[[str], T],
        *,
        kept: Collection[str] = (),
        limit: int = 256,
        holds: Callable[[T], bool] = lambda _: False,
    ) -> None:
        self._make = make
        self._limit = limit
        self._holds = holds
        self._kept = {name: make(name) for name in kept}
        self._passing: OrderedDict[str, T] = OrderedDict()

    def __call__(self, name: str) -> T:
        """Return the state of `name`."""
        state = self._kept.get(name)
        if state is not None:
            return state
        state = self._passing.get(name)
        if state is None:
            if len(self._passing) >= self._limit:
                del self._passing[self._least()]
            state = self._passing[name] = self._make(name)
        else:
            self._passing.move_to_end(name)
        return state

    def _least(self) -> str:
        """Return the name that is missed least."""
        idle = (name for name, state in self._passing.items() if not self._holds(state))
        return next(idle, next(iter(self._passing)))

    def inherit(self, before: "Keyed[T]", adapt: Callable[[str, T], object] = _as_it_is) -> None:
        """Go on with the states of another, each adapted to what is set for its name now.

        One that nobody configures any more is kept as those of made-up names are.
        """
        for name, state in before:
            adapt(name, state)
            if name in self._kept:
                self._kept[name] = state
            elif len(self._passing) < self._limit:
                self._passing[name] = state

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Yield what there is, the configured first."""
        yield from self._kept.items()
        yield from self._passing.items()

    def __repr__(self) -> str:
        return f"<Keyed, {len(self._kept)} configured, {len(self._passing)} others>"
