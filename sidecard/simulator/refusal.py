"""Refusals in the API's own form: `{"type": "error", "error": {…}, "request_id": …}`."""

from types import MappingProxyType
from typing import Final

from sidecard.core.jsonio import JsonObject

ERROR_TYPES: Final = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        500: "api_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)
"""HTTP status → the `error.type` that the API's documentation lists for it."""

_STATUSES: Final = {kind: status for status, kind in ERROR_TYPES.items()}


class Refusal(Exception):
    """The request is not answered; `status` and `str()` say why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def error_type(status: int) -> str:
    """Return the API's name for an HTTP status."""
    fallback = "api_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
    return ERROR_TYPES.get(status, fallback)


def error_status(kind: str) -> int:
    """Return the HTTP status that goes with an error type; 500 for a type it doesn't know."""
    return _STATUSES.get(kind, 500)


def error_body(kind: str, message: str, request_id: str) -> JsonObject:
    """Return the body of an error answer, which an SSE `error` event carries as well."""
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }
