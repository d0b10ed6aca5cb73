"""What layers need from outside: Protocols that the composition root fills."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from sidecard.core.call import Call
from sidecard.core.message import Message
from sidecard.core.note import Note
from sidecard.core.outcome import Outcome
from sidecard.core.reply import Head, Reply
from sidecard.core.verdict import Verdict


class CallSink(Protocol):
    """Takes note of every call, once, when it has ended. Must not raise or wait."""

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """`head` is None where the call failed before anybody committed to an answer."""
        ...


class HitSink(Protocol):
    """Takes note of hits that are alike but for what it is given. Must not raise or wait."""

    def __call__(
        self, request_id: str, age_s: float, began: float, ended: float, wall: float, /
    ) -> None:
        """`began` and `ended` are moments of `Clock.now`, `wall` is one of `Clock.wall`."""
        ...


Alike = Callable[[Call, Head, Outcome], HitSink | None]
"""Gives what takes note of hits like the one that ended so, None where it needs each."""


class NoteSink(Protocol):
    """Takes what layers decided, for the log and the metrics. Must not raise or wait."""

    def __call__(self, note: Note, /) -> None:
        """Take one note."""
        ...


class Again(Protocol):
    """Gives one answer again, to the same question. Must not wait."""

    def __call__(self, request_id: str, began: float) -> tuple[float, float] | None:
        """Return its age in seconds and the moment of `Clock.now`, noted as a call that has ended.

        None where it isn't fresh any more, or another one is in its place.
        """
        ...


class Hit(NamedTuple):
    """An answer that is at hand, the head that a reply of it would have, and how the call ended.

    `again` gives it to who asks the same again, None where each time has to be looked at.
    """

    message: Message
    head: Head
    outcome: Outcome
    again: Again | None = None


class Hits(Protocol):
    """What can be answered at once, without a call. Must not wait."""

    def key(self, call: Call) -> bytes:
        """Return what the call's answer is kept under, so that it is worked out once."""
        ...

    def __call__(self, call: Call, key: bytes, began: float) -> Hit | None:
        """Return a fresh answer, noted as a call that has ended; None where there is none."""
        ...


class StaleAnswers(Protocol):
    """Expired answers, for when every target failed."""

    async def __call__(self, call: Call, /) -> Reply | None:
        """Return an old answer to the same question, None when there is none."""
        ...


class OutputJudge(Protocol):
    """Holds answers against schemas, each in bounded time.

    Raises `InvalidCall` for a schema that takes more than `limit_s` seconds of CPU time,
    `Overloaded` where there is none to be had. Who waits is served by turns of tenants, `whose`.
    """

    async def problem(self, schema: str, limit_s: float, whose: str = "") -> str:
        """Return why a schema, as JSON text, can't be used; empty when it can."""
        ...

    async def verdict(self, schema: str, answer: str, limit_s: float, whose: str = "") -> Verdict:
        """Return whether an answer, as the model wrote it, satisfies a schema."""
        ...
