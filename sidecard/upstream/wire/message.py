"""Answers and errors that come as one JSON document."""

from sidecard.core import jsonio
from sidecard.core.message import Message
from sidecard.upstream.wire.events import MESSAGE_FIELDS
from sidecard.upstream.wire.failure import malformed, printable
from sidecard.upstream.wire.usage import merged, usage_of


def parse_message(data: bytes) -> Message:
    """Return the message in an unstreamed answer; raises `WireFailure` when there is none."""
    try:
        raw = jsonio.loads(data)
    except ValueError:
        raise malformed("the answer is no JSON") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("content"), list):
        raise malformed("the answer is no message")
    blocks, reason = raw["content"], raw.get("stop_reason")
    sequence = raw.get("stop_sequence")
    if not isinstance(reason, str) or not isinstance(sequence, str | None):
        raise malformed("the answer has no stop_reason")
    if not all(isinstance(block, dict) for block in blocks):
        raise malformed("the answer is no whole message")
    return Message(
        id=str(raw.get("id", "")),
        model=str(raw.get("model", "")),
        content=tuple(blocks),
        stop_reason=reason,
        stop_sequence=sequence,
        usage=usage_of(merged({}, raw.get("usage"))),
        extra={key: value for key, value in raw.items() if key not in MESSAGE_FIELDS},
    )


def parse_error(data: bytes) -> tuple[str, str]:
    """Return (error type, message) of an error's body, each empty where it has none.

    The API's own errors are `{"type": "error", "error": {"type": …, "message": …}}`;
    proxies answer with anything.
    """
    try:
        raw = jsonio.loads(data)
    except ValueError:
        return "", ""
    error = raw.get("error") if isinstance(raw, dict) else None
    if not isinstance(error, dict):
        return "", ""
    return printable(error.get("type")), printable(error.get("message"))
