"""Errors to HTTP, in the types that Anthropic's SDKs know (https://platform.claude.com/docs/en/api/errors).

Every one says that it isn't to be retried at once by the SDK: the daemon has done that.
"""

import math
from typing import Final

from sidecard.core import errors
from sidecard.core.errors import InvalidCall, SidecardError, UpstreamError, UpstreamRefused
from sidecard.server.http.encode import ids_of

# The HTTP status, and the API's type of error.
_TABLE: Final[dict[type[SidecardError], tuple[int, str]]] = {
    errors.InvalidCall: (400, "invalid_request_error"),
    errors.Unauthenticated: (401, "authentication_error"),
    errors.PermissionDenied: (403, "permission_error"),
    errors.NotCached: (404, "not_found_error"),
    errors.Overloaded: (529, "overloaded_error"),
    errors.BudgetExhausted: (402, "billing_error"),
    errors.RateLimited: (429, "rate_limit_error"),
    errors.BreakerOpen: (503, "overloaded_error"),
    errors.DeadlineExceeded: (504, "timeout_error"),
    errors.ShuttingDown: (503, "api_error"),
    errors.UpstreamThrottled: (429, "rate_limit_error"),
    errors.UpstreamUnavailable: (503, "api_error"),
    errors.UpstreamRefused: (400, "invalid_request_error"),
    errors.UpstreamMisconfigured: (500, "api_error"),
    errors.UpstreamInterrupted: (502, "api_error"),
    errors.InvalidOutput: (500, "api_error"),
}
_BUG: Final = (500, "api_error")
_OVERLOADED: Final = 529
_TOO_LARGE: Final = (413, "request_too_large")
SIZE: Final = "body size"
"""The field of a violation for which HTTP has a status of its own."""
_CLIENT_ERRORS: Final = range(400, 500)


def status_of(error: BaseException) -> int:
    """Return the HTTP status for an error; what the upstream refused keeps its own."""
    if isinstance(error, UpstreamRefused) and (error.status or 0) in _CLIENT_ERRORS:
        return error.status or 0
    return _row(error)[0]


def kind_of(error: BaseException) -> str:
    """Return the API's type of error."""
    return _row(error)[1]


def _row(error: BaseException) -> tuple[int, str]:
    if isinstance(error, UpstreamError) and error.status == _OVERLOADED:
        return _TABLE[errors.Overloaded]
    if isinstance(error, InvalidCall) and SIZE in [v.field for v in error.violations]:
        return _TOO_LARGE
    return _TABLE.get(type(error), _BUG)  # type: ignore[arg-type]


def message_of(error: BaseException) -> str:
    """Return what is told of an error: of a bug nothing but that it is one."""
    if isinstance(error, SidecardError):
        return error.message if isinstance(error, UpstreamError) else str(error)
    return "internal error; the daemon's log has the traceback"


def headers_of(error: BaseException, request_id: str) -> dict[str, str]:
    """Return the headers of an error."""
    reason = error.reason if isinstance(error, SidecardError) else "INTERNAL"
    headers = {
        **ids_of(request_id),
        "x-sidecard-reason": reason,
        "x-should-retry": "false",
    }
    if isinstance(error, SidecardError):
        if error.target.isascii() and error.target.isprintable():
            headers["x-sidecard-target"] = error.target
        if error.retry_after_s is not None:
            headers["retry-after"] = str(max(math.ceil(error.retry_after_s), 0))
    return headers
