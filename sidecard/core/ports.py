"""What layers need from outside: Protocols that the composition root fills."""

from typing import Protocol

from sidecard.core.call import Call
from sidecard.core.note import Note
from sidecard.core.outcome import Outcome
from sidecard.core.reply import Head, Reply


class CallSink(Protocol):
    """Takes note of every call, once, when it has ended. Must not raise or wait."""

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """`head` is None where the call failed before anybody committed to an answer."""
        ...


class NoteSink(Protocol):
    """Takes what layers decided, for the log and the metrics. Must not raise or wait."""

    def __call__(self, note: Note, /) -> None:
        """Take one note."""
        ...


class StaleAnswers(Protocol):
    """Expired answers, for when every target failed."""

    async def __call__(self, call: Call, /) -> Reply | None:
        """Return an old answer to the same question, None when there is none."""
        ...
