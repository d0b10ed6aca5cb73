"""Answers as the cache keeps them: one JSON text, with what has to be known to give them again.

What the answer used isn't kept, as whoever gets it from the cache uses nothing.
"""

from typing import Final, NamedTuple

from sidecard.core import jsonio
from sidecard.core.message import Message

VERSION: Final = 2


class Answer(NamedTuple):
    """A message that was answered before: by which target, and whether that was a stand-in."""

    message: Message
    target: str
    degraded: bool


def pack(answer: Answer) -> bytes | None:
    """Return the answer as bytes; None for one that JSON can't hold, as it has infinite numbers."""
    message = answer.message
    form = [
        VERSION,
        answer.target,
        answer.degraded,
        message.id,
        message.model,
        message.stop_reason,
        message.stop_sequence,
        message.output_json,
        message.content,
        message.extra,
    ]
    try:
        return jsonio.dumps(form).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError):
        return None


def unpack(value: bytes) -> Answer | None:
    """Return what was packed; None for what this version can't read."""
    try:
        version, target, degraded, *told, content, extra = jsonio.loads(value)
        if version != VERSION:
            return None
        id_, model, stop_reason, stop_sequence, output_json = told
    except (TypeError, ValueError):
        return None
    message = Message(
        id_,
        model,
        tuple(content),
        stop_reason,
        stop_sequence,
        extra=extra,
        output_json=output_json,
    )
    return Answer(message, target, degraded)
