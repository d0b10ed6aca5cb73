"""What an answer says when it isn't one."""

from enum import Enum

from sidecard.core.jsonio import JsonObject, JsonValue

_CHARS = 500


class Kind(Enum):
    """An `error` event of the upstream's own, or bytes that follow no rule."""

    ERROR_EVENT = "error_event"
    MALFORMED = "malformed"


class WireFailure(Exception):
    """The upstream's answer failed in its content, not in its transport.

    `error_type` is the API's name for it (`overloaded_error`), empty when malformed.
    `message` never holds content of the answer.
    """

    def __init__(self, kind: Kind, message: str, error_type: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.error_type = error_type


def malformed(message: str) -> WireFailure:
    """Return the failure of an answer whose bytes make no sense."""
    return WireFailure(Kind.MALFORMED, message)


def reported(answer: JsonObject) -> WireFailure:
    """Return the failure that the upstream reports: `{"type": "error", "error": {…}}`."""
    kind, message = error_of(answer)
    return WireFailure(Kind.ERROR_EVENT, message or "the answer ended in an error", kind)


def error_of(answer: JsonObject) -> tuple[str, str]:
    """Return (error type, message) as the API writes an error, or as gateways do.

    Those put a text where the API has an object (`{"error": "…"}`),
    or leave the object out (`{"message": "…"}`). Each is empty where there is none.
    """
    error = answer.get("error")
    if isinstance(error, dict):
        return printable(error.get("type")), printable(error.get("message"))
    return "", printable(error) or printable(answer.get("message"))


def printable(value: JsonValue) -> str:
    """Return an upstream's own words as one bounded line; empty for what is no text."""
    text = value if isinstance(value, str) else ""
    return "".join([c if c.isprintable() else " " for c in text[:_CHARS]])
