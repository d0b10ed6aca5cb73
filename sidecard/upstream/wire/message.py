"""Answers and errors that come as one JSON document."""

from typing import Final

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.core.message import Message
from sidecard.upstream.wire.failure import error_of, malformed, reported
from sidecard.upstream.wire.usage import merged, usage_of

_FIELDS: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
)
"""The fields of a message that `Message` has names for; the rest is its `extra`."""


def parse_message(data: bytes) -> Message:
    """Return the message in an unstreamed answer; raises `WireFailure` when there is none."""
    try:
        raw = jsonio.loads(data)
    except ValueError:
        raise malformed("the answer is no JSON") from None
    if isinstance(raw, dict) and raw.get("type") == "error":
        raise reported(raw)
    if not isinstance(raw, dict) or not isinstance(raw.get("content"), list):
        raise malformed("the answer is no message")
    blocks, reason = raw["content"], raw.get("stop_reason")
    sequence = raw.get("stop_sequence")
    if not isinstance(reason, str) or not isinstance(sequence, str | None):
        raise malformed("the answer has no stop_reason")
    if not all(isinstance(block, dict) for block in blocks):
        raise malformed("the answer is no whole message")
    if not jsonio.writable(raw):  # To look for such a number in the text takes longer.
        raise malformed("a number in the answer is beyond a double")
    return Message(
        id=text_of(raw, "id"),
        model=text_of(raw, "model"),
        content=tuple(blocks),
        stop_reason=reason,
        stop_sequence=sequence,
        usage=usage_of(merged({}, raw.get("usage"))),
        extra=extra_of(raw),
    )


def text_of(message: JsonObject, key: str) -> str:
    """Return a message's id or model; empty when it has none that is a text."""
    value: JsonValue = message.get(key)
    return value if isinstance(value, str) else ""


def extra_of(message: JsonObject) -> JsonObject:
    """Return the fields of a message that this version doesn't model."""
    return {key: value for key, value in message.items() if key not in _FIELDS}


def parse_error(data: bytes) -> tuple[str, str]:
    """Return (error type, message) of an error's body, each empty where it has none.

    Anything may come: proxies answer with HTML, with nothing, with JSON of their own.
    """
    try:
        raw = jsonio.loads(data)
    except ValueError:
        return "", ""
    return error_of(raw) if isinstance(raw, dict) else ("", "")
