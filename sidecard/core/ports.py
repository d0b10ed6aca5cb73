"""What layers need from outside: Protocols that the composition root fills."""

from typing import Protocol

from sidecard.core.call import Call
from sidecard.core.outcome import Outcome
from sidecard.core.reply import Head


class CallSink(Protocol):
    """Takes note of every call, once, when it has ended. Must not raise or wait."""

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """`head` is None where the call failed before anybody committed to an answer."""
        ...
