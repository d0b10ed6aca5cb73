"""Errors to gRPC statuses: the one table, and the details that every status carries.

Details are google.rpc messages in the `grpc-status-details-bin` trailer
(https://google.aip.dev/193): ErrorInfo always, RetryInfo where waiting helps,
BadRequest where the request is at fault, QuotaFailure where a budget is.
"""

from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, DebugInfo, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from sidecard.core import errors
from sidecard.core.errors import InvalidCall, InvalidOutput, SidecardError, UpstreamError
from sidecard.core.store import StoreFailed
from sidecard.server.arrival import Arrival

DOMAIN = "sidecard.dev"
OK, CANCELLED = StatusCode.OK.name, StatusCode.CANCELLED.name

CODES: dict[type[SidecardError], StatusCode] = {
    errors.InvalidCall: StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.NotCached: StatusCode.NOT_FOUND,
    errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    errors.BudgetExhausted: StatusCode.RESOURCE_EXHAUSTED,
    errors.RateLimited: StatusCode.RESOURCE_EXHAUSTED,
    errors.BreakerOpen: StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.ShuttingDown: StatusCode.UNAVAILABLE,
    errors.UpstreamThrottled: StatusCode.RESOURCE_EXHAUSTED,
    errors.UpstreamUnavailable: StatusCode.UNAVAILABLE,
    errors.UpstreamRefused: StatusCode.INVALID_ARGUMENT,
    errors.UpstreamMisconfigured: StatusCode.FAILED_PRECONDITION,
    errors.UpstreamInterrupted: StatusCode.ABORTED,
    errors.InvalidOutput: StatusCode.FAILED_PRECONDITION,
}

_RAW_BYTES = 2_000
"""How much of an invalid output goes into the details: trailers hold 8 KiB in all."""

_MAX_VIOLATIONS = 20
_VIOLATIONS_BYTES = 3_000
_MESSAGE_CHARS = 1_000
_ODD_BYTES = 500
"""Of a message that isn't ASCII: each of its bytes takes three in the trailer."""


def code_of(error: BaseException) -> StatusCode:
    """Return the code for `error`; what isn't a `SidecardError` is a bug, so INTERNAL."""
    if isinstance(error, StoreFailed):
        return StatusCode.UNAVAILABLE
    return CODES.get(type(error), StatusCode.INTERNAL)  # type: ignore[arg-type]


def message_of(error: BaseException) -> str:
    """Return the status message: bounded, and of a bug nothing but that it is one."""
    if isinstance(error, StoreFailed):
        return _plain(str(error))[:_MESSAGE_CHARS]
    if not isinstance(error, SidecardError):
        return "internal error; the daemon's log has the traceback"
    text = _plain(error.message)
    if not text.isascii():
        text = _cut(text, _ODD_BYTES)
    return text if len(text) <= _MESSAGE_CHARS else text[: _MESSAGE_CHARS - 1] + "…"


def _plain(text: str) -> str:
    """Return text that protobuf takes: headers may bring bytes that are no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _cut(text: str, most_bytes: int) -> str:
    """Return the beginning of a text, in whole characters that protobuf takes."""
    return text.encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")


def details_of(error: BaseException, arrival: Arrival) -> bytes:
    """Return the serialized google.rpc.Status for the `grpc-status-details-bin` trailer."""
    status = Status(code=code_of(error).value[0], message=message_of(error))
    for detail in _details(error, arrival):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status.SerializeToString()


Detail = ErrorInfo | RetryInfo | BadRequest | QuotaFailure | DebugInfo


def _details(error: BaseException, arrival: Arrival) -> list[Detail]:
    if not isinstance(error, SidecardError):
        metadata = {"request_id": arrival.request_id}
        return [ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata=metadata)]
    details: list[Detail] = [_info(error, arrival)]
    if error.retry_after_s is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(retry)
    if isinstance(error, InvalidCall | InvalidOutput):
        bad = BadRequest()
        for violation in error.violations[:_MAX_VIOLATIONS]:
            field, told = _plain(violation.field), _plain(violation.description)
            bad.field_violations.add(field=field, description=told)
            if bad.ByteSize() > _VIOLATIONS_BYTES and len(bad.field_violations) > 1:
                del bad.field_violations[-1]
                break
        details.append(bad)
    if isinstance(error, InvalidOutput):
        details.append(DebugInfo(detail=_cut(error.raw, _RAW_BYTES)))
    if isinstance(error, errors.BudgetExhausted):
        failure = QuotaFailure()
        failure.violations.add(subject=error.budget or error.target, description=error.message)
        details.append(failure)
    return details


def _info(error: SidecardError, arrival: Arrival) -> ErrorInfo:
    metadata = {
        "request_id": arrival.request_id,
        "target": error.target,
        "attempts": str(arrival.trail.sent),
    }
    if isinstance(error, UpstreamError):
        metadata["upstream_status"] = str(error.status or "")
        metadata["upstream_request_id"] = _plain(error.upstream_request_id[:128])
    return ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
