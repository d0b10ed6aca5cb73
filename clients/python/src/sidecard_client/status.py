"""From a failed RPC to a `SidecardError`: reads the google.rpc details that came with it.

They are read as plain wire fields (https://google.aip.dev/193 has the messages),
since their generated code would be one more dependency, and registering it here would clash
with that very code where it is installed.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from sidecard_client.errors import (
    BY_REASON,
    DeadlineExceeded,
    SidecardError,
    Unavailable,
    Violation,
)

DOMAIN: Final = "sidecard.dev"
_LENGTH_DELIMITED: Final = 2
_DETAILS: Final = 3  # In google.rpc.Status.
_METADATA: Final = 3  # In google.rpc.ErrorInfo.
_DETAIL: Final = 2  # In google.rpc.DebugInfo.
_HUNG_UP: Final = ("Socket closed", "Connection reset")  # As who speaks TLS does to who doesn't.


def typed(
    error: grpc.RpcError, address: str, request_id: str, partial_text: str, *, in_clear: bool
) -> SidecardError:
    """Return what `error` means. Where the daemon didn't say, gRPC's code decides.

    `in_clear`: the call wasn't encrypted, and came over TCP.
    """
    code, message = error.code(), error.details() or ""
    trailers: dict[str, Any] = dict(cast("Any", error.trailing_metadata()) or ())
    found = _read(trailers.get("grpc-status-details-bin", b""))
    common: dict[str, Any] = {"code": code, "request_id": request_id, "partial_text": partial_text}
    if partial_text:
        found.pop("partial_text", None)  # The whole of it is here.
    if "reason" in found:
        return BY_REASON.get(found["reason"], SidecardError)(message, **common | found)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        hung_up = "failed to connect" in message and any(sign in message for sign in _HUNG_UP)
        return Unavailable(absent(address, message, wants_tls=in_clear and hung_up), **common)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("the timeout passed before the answer was whole", **common)
    return SidecardError(message, reason=code.name, **common)


def absent(address: str, details: str, *, wants_tls: bool) -> str:
    """Say that no daemon answers, and how to have one; `wants_tls`: one may want to encrypt."""
    advice = "`sidecard serve` starts one, SIDECARD_ADDRESS says where it is"
    if wants_tls:
        advice += "; if it has listen.tls, give tls=Tls(ca_file=…) or SIDECARD_TLS_CA"
    return f"no sidecard daemon answers at {address}: {advice} [{details}]"


def _read(status: bytes) -> dict[str, Any]:
    """Return the error's fields that a serialized google.rpc.Status gives; none if it is broken."""
    found: dict[str, Any] = {}
    try:
        for number, packed in _fields(status):
            if number == _DETAILS:
                detail = Packed.FromString(packed)
                found |= _detail(detail.TypeName(), detail.value)
    except (DecodeError, LookupError, ValueError):
        return {}
    return found


def _detail(name: str, value: bytes) -> dict[str, Any]:
    if name == "google.rpc.ErrorInfo" and _texts(value).get(2) == DOMAIN:
        pairs = [_texts(entry) for number, entry in _fields(value) if number == _METADATA]
        known = {pair.get(1, ""): pair.get(2, "") for pair in pairs}
        texts = {key: known[key] for key in ("request_id", "target") if known.get(key)}
        return {"reason": _texts(value)[1], "attempts": int(known.get("attempts") or 0), **texts}
    if name == "google.rpc.RetryInfo":
        delay = Duration.FromString(b"".join([data for _, data in _fields(value)]))
        return {"retry_after_s": delay.ToMilliseconds() / 1000}
    if name in ("google.rpc.BadRequest", "google.rpc.QuotaFailure"):  # Of one shape.
        places = [_texts(violation) for _, violation in _fields(value)]
        return {"violations": tuple([Violation(p.get(1, ""), p.get(2, "")) for p in places])}
    if name == "google.rpc.DebugInfo":
        return {"partial_text": _texts(value).get(_DETAIL, "")}
    return {}


def _texts(message: bytes) -> dict[int, str]:
    """Return a message's string fields by number."""
    return {number: data.decode("utf-8", "replace") for number, data in _fields(message)}


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of any message that are no numbers; to `Empty` every field is unknown."""
    unknown = UnknownFieldSet(Empty.FromString(message))
    for field in [unknown[i] for i in range(len(unknown))]:
        if field.wire_type == _LENGTH_DELIMITED:
            yield field.field_number, field.data
