"""What the upstream's failures mean: the only place that knows its statuses and error types.

Statuses and types are those of the Anthropic API
(`anthropic/_exceptions.py`, `anthropic/types/shared/error_type.py`);
delays are read as its SDK reads them: `retry-after-ms`, then `retry-after`, seconds or a date.
"""

from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from math import isfinite
from typing import Final

from sidecard.core.errors import (
    Overloaded,
    UpstreamError,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.upstream.transport import Misconfigured, OutOfResources, Phase, TransportFault
from sidecard.upstream.wire.failure import Kind, WireFailure
from sidecard.upstream.wire.message import parse_error
from sidecard.upstream.wire.rate_limits import rate_limits_of

_THROTTLED: Final = frozenset({429})
_MISCONFIGURED: Final = frozenset({401, 402, 403, 404, 407})
_LOST: Final = frozenset({408, 502, 504, *range(520, 525)})
_TRANSIENT: Final = frozenset({408, 409})

# Error type → the status that the API sends it with; the last ones are Bedrock's.
TYPES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "memory_path_conflict_error": 409,
    "memory_precondition_failed_error": 412,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    "validationException": 400,
    "throttlingException": 429,
    "internalServerException": 500,
    "modelStreamErrorException": 500,
    "serviceUnavailableException": 503,
    "modelTimeoutException": 504,
}

_WANT_S: Final = 1.0
"""When to try again for what this machine lacks now: it comes back as calls end."""

_LONGEST_S: Final = 7 * 86_400.0
"""A delay that is longer than a week is a week."""


def from_status(
    status: int, headers: Mapping[str, str], body: bytes, *, target: str, wall: float
) -> UpstreamError:
    """Return the error of an HTTP answer that isn't a 200; `wall` is the time, for dates."""
    kind, message = parse_error(body)
    error = _error(_meant(status, kind), status, target, _said(status, kind, message))
    error.retry_after_s = _retry_after(headers, wall)
    error.upstream_request_id = headers.get("request-id", "")
    error.rate_limits = rate_limits_of(headers, wall)
    if (word := headers.get("x-should-retry")) in {"true", "false"}:
        error.should_retry = word == "true"
    return error


def from_wire(failure: WireFailure, *, target: str) -> UpstreamError:
    """Return the error of an answer with status 200 whose content failed."""
    if failure.kind is Kind.MALFORMED:
        return UpstreamUnavailable(f"malformed answer: {failure.message}", target=target)
    status = TYPES.get(failure.error_type, 500)
    return _error(status, status, target, _said(status, failure.error_type, failure.message))


def from_fault(fault: TransportFault, *, target: str) -> UpstreamError:
    """Return the error of a request that the network failed."""
    return UpstreamUnavailable(fault.reason, target=target)


def from_want(want: OutOfResources, *, target: str) -> Overloaded:
    """Return the error of a request that this machine couldn't send: no failure of the target.

    Trying again at once would only want more of what there is none of.
    """
    return Overloaded(want.reason, retry_after_s=_WANT_S, target=target)


def is_free(error: BaseException) -> bool:
    """Whether an attempt that failed so costs nothing for certain.

    The API bills no request that it answers with an error's status, and none that it never saw.
    What failed in any later way may have been read, and written, and billed;
    so may what a gateway between lost (408, 502, 504, 520 to 524).
    """
    if isinstance(error, UpstreamMisconfigured):
        return True
    fault = error.__cause__
    if isinstance(fault, TransportFault):
        return fault.phase is Phase.CONNECT
    status = error.status if isinstance(error, UpstreamError) and error.usage is None else None
    return status is not None and status >= 400 and status not in _LOST  # noqa: PLR2004


def from_misconfigured(problem: Misconfigured, *, target: str) -> UpstreamError:
    """Return the error of a request that couldn't be sent."""
    return UpstreamMisconfigured(str(problem), target=target)


def _error(meant: int, status: int, target: str, message: str) -> UpstreamError:
    error = _class(meant)(message, target=target)
    error.status = status
    return error


def _meant(status: int, kind: str) -> int:
    """Return the status that the error's type stands for, where that says more than `status`.

    Gateways wrap what they were told in a 400, a 500 or a 200 of their own.
    A server's error stays one: the most that its type makes of it is a limit of our rate.
    """
    meant = TYPES.get(kind, status)
    if status < 400 or status == 400:  # noqa: PLR2004
        return meant
    return meant if status >= 500 and meant in _THROTTLED else status  # noqa: PLR2004


def _class(status: int) -> type[UpstreamError]:
    if status in _THROTTLED:
        return UpstreamThrottled
    if status in _MISCONFIGURED:
        return UpstreamMisconfigured
    if 400 <= status < 500 and status not in _TRANSIENT:  # noqa: PLR2004
        return UpstreamRefused
    return UpstreamUnavailable  # 5xx; and 2xx and 3xx that make no sense, as a proxy's


def _said(status: int, kind: str, message: str) -> str:
    if not message and (status < 400 or status in {404, 405}):  # noqa: PLR2004
        message = "is upstream.base_url right?"
    said = f"the upstream answered {status} {kind}".rstrip()
    return f"{said}: {message}" if message else said


def _retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """Return the seconds to wait that the headers name; None for none, and for nonsense."""
    text = headers.get("retry-after", "")
    delay_s = _number(headers.get("retry-after-ms", ""), 1000)
    if delay_s is None:
        delay_s = _number(text, 1)
    if delay_s is None:
        delay_s = _until(text, wall)
    return None if delay_s is None else min(max(delay_s, 0.0), _LONGEST_S)


def _number(text: str, per_second: int) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number / per_second if isfinite(number) else None


def _until(text: str, wall: float) -> float | None:
    try:
        date = parsedate_tz(text)
        return None if date is None else mktime_tz(date) - wall
    except (ValueError, OverflowError, IndexError, TypeError):  # A date that no calendar has.
        return None
