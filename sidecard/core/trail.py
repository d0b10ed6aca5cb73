"""Trails: what was tried for one call, in order, whatever became of it.

A call is immutable and has copies, one for each target; its trail is the one thing they share.
So a call that ends at its deadline, or whose caller leaves, still tells what it tried and used.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sidecard.core.event import Batch, Usage
from sidecard.core.trace import Trace, new_span_id

if TYPE_CHECKING:
    from sidecard.core.message import Message


@dataclass(slots=True)
class Attempt:
    """One try at one target, numbered from 1 within its call. Its maker alone writes it.

    `error` is the reason (`UPSTREAM_THROTTLED`), empty when the attempt answered or still runs.
    `duration_s` ends where the attempt did: at the error, or at the commit.
    `first_event_s` is when its first content came, None when none did or it came all in one piece.
    `usage` is what it used as far as anybody knows, also when nobody wanted its answer any more.
    `cost_nano_usd` is what it cost in billionths of a US dollar, None as long as that isn't known:
    until it ends, without a price, or where it broke off and nobody told what it had used.
    `sent` is false for a target that was skipped: `error` says why.
    `kind` says what it is beside a first try or a retry: a `hedge`, a `continuation`.
    `span_id` is empty where the call belongs to no trace.
    `shared`: it was made for another call, which this one joined, and is counted there.
    """

    number: int
    target: str
    began: float
    duration_s: float = 0.0
    error: str = ""
    first_event_s: float | None = None
    usage: Usage | None = None
    sent: bool = True
    cost_nano_usd: int | None = None
    kind: str = ""
    span_id: str = ""
    shared: bool = False


class Watch:
    """Sees the attempt that is made by what this task awaits, where a call has two at one time."""

    __slots__ = ("attempt",)

    def __init__(self) -> None:
        self.attempt: Attempt | None = None


_WATCH: Final[ContextVar[Watch | None]] = ContextVar("watch", default=None)


def watch() -> Watch:
    """Return what sees the next attempt of this task, in place of any other watch."""
    watching = Watch()
    _WATCH.set(watching)
    return watching


_KIND: Final[ContextVar[str]] = ContextVar("kind", default="")


@contextmanager
def making(kind: str) -> Iterator[None]:
    """Have the attempts of this block, and of tasks that it starts, be of that kind."""
    token = _KIND.set(kind)
    try:
        yield
    finally:
        _KIND.reset(token)


class Trail:
    """The attempts of one call. Shared by the call's copies, within one event loop.

    `queued_s` is how long the call waited for its permit;
    `waits` while it does, or for a target's rate.
    `charged_nano_usd` is what its attempts cost so far, or may cost at most.
    `answer` is what the caller was shown, or is being shown, where somebody wants to log it.
    `trace` is what the call belongs to, None where nobody wants to know.
    `guess` is kept by who guesses how long a question is: its messages, the form of
    its schema, and what it found.
    """

    __slots__ = (
        "_attempts",
        "answer",
        "charged_nano_usd",
        "guess",
        "queued_s",
        "sent",
        "trace",
        "waits",
    )

    def __init__(self, trace: Trace | None = None) -> None:
        self._attempts: list[Attempt] = []
        self.trace = trace
        self.sent = 0
        self.queued_s = 0.0
        self.waits = False
        self.charged_nano_usd = 0
        self.answer: Message | Sequence[Batch] | None = None
        self.guess: tuple[object, object, object] | None = None

    def begin(self, target: str, now: float) -> Attempt:
        """Note that an attempt is made now, and return it to be written on."""
        attempt = self._add(target, now)
        self.sent += 1
        if (watching := _WATCH.get()) is not None:
            watching.attempt = attempt
        return attempt

    def skip(self, target: str, now: float, error: str) -> Attempt:
        """Note that a target was passed over without asking it, and return what was noted."""
        attempt = self._add(target, now)
        attempt.error, attempt.sent = error, False
        return attempt

    def _add(self, target: str, now: float) -> Attempt:
        attempt = Attempt(len(self._attempts) + 1, target, now, kind=_KIND.get())
        if self.trace is not None:
            attempt.span_id = new_span_id()
        self._attempts.append(attempt)
        return attempt

    @property
    def last(self) -> Attempt:
        """The attempt that was made last; there is one."""
        return self._attempts[-1]

    @property
    def cost_nano_usd(self) -> int | None:
        """What all attempts cost, in billionths of a US dollar; None if that isn't known of one."""
        if not self._attempts:
            return 0
        costs = [attempt.cost_nano_usd for attempt in self._attempts if attempt.sent]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._attempts)

    def __len__(self) -> int:
        return len(self._attempts)

    def __repr__(self) -> str:
        return f"<Trail, {self.sent} sent, {len(self._attempts) - self.sent} skipped>"
