"""What a call brings besides its request: an id, a deadline, and when it came."""

import itertools
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import grpc
from google.protobuf.message import Message

from sidecard.core.clock import Clock
from sidecard.core.trace import Trace
from sidecard.core.trail import Trail

Context = grpc.aio.ServicerContext[bytes, Message]
"""A call as gRPC hands it over: its request as bytes, its answers as messages."""

# Unique among all daemons, and as cheap as counting.
_PROCESS = secrets.token_hex(6)
_COUNT = itertools.count(1)

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_SDK_TIMEOUTS = "x-stainless-timeout", "x-stainless-read-timeout"
_EARLIER, _LEAST_EARLIER_S, _MOST_EARLIER_S = 0.05, 0.05, 1.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


class Arrival:
    """Moments of `Clock.now`, in seconds; the deadline is the caller's, or the cap's if sooner.

    `begin_by` is when an answer has to have begun; what has to be whole at once, has to be then.
    The `trail` is there before the call is, so that also what fails in decoding has one to tell of.
    `metadata` is what gRPC has of the caller's: it makes it anew each time it is asked.
    """

    __slots__ = ("_trail", "begin_by", "deadline", "metadata", "received_at", "request_id")

    def __init__(
        self,
        request_id: str,
        received_at: float,
        deadline: float,
        trail: Trail | None = None,
        *,
        metadata: Metadata = (),
        begin_by: float = math.inf,
    ) -> None:
        self.request_id = request_id
        self.received_at = received_at
        self.deadline = deadline
        self.metadata = metadata
        self.begin_by = begin_by
        self._trail = trail

    @property
    def trail(self) -> Trail:
        """What is tried for the call: made when it is asked for, as a hit needs none."""
        if self._trail is None:
            self._trail = Trail()
        return self._trail


def arrive(
    context: Context, clock: Clock, total_s: float, trace_share: float | None = None
) -> Arrival:
    """Note a call's arrival.

    An `x-request-id` that isn't 1 to 128 harmless characters is replaced, so that it can't forge
    a log line. `trace_share` is as in `Trace.of`, None where calls belong to no trace.
    """
    now = clock.now()
    remaining_s = context.time_remaining()
    allowed_s = total_s if remaining_s is None else min(remaining_s, total_s)
    metadata = tuple(context.invocation_metadata() or ())
    arrival = Arrival(_request_id(metadata), now, now + allowed_s, metadata=metadata)
    if trace_share is not None:
        # Of keys that come more than once the last one counts; text alone is of use.
        given = {key: value for key, value in metadata if isinstance(value, str)}
        arrival.trail.trace = _trace(given, trace_share)
    return arrival


def arrive_at(
    headers: Mapping[str, str], clock: Clock, total_s: float, trace_share: float | None = None
) -> Arrival:
    """Note the arrival of a call over HTTP, whose SDK says how long it waits for a beginning.

    https://github.com/anthropics/anthropic-sdk-python says it in one of two headers. It asks again
    when that time is over, so the call ends a little earlier, with an answer that says not to.
    """
    now = clock.now()
    said = [headers.get(name, "") for name in _SDK_TIMEOUTS]
    # TypeScript's says 0 for what is less than a second.
    waits_s = min([float(s) for s in said if _SECONDS.fullmatch(s) and float(s)], default=math.inf)
    waits_s -= min(max(waits_s * _EARLIER, _LEAST_EARLIER_S), _MOST_EARLIER_S)
    asked = headers.get("x-request-id", "")
    request_id = asked if _REQUEST_ID.fullmatch(asked) else _new_id()
    begin_by = now + min(waits_s, total_s)
    arrival = Arrival(request_id, now, now + total_s, begin_by=begin_by)
    if trace_share is not None:
        arrival.trail.trace = _trace(headers, trace_share)
    return arrival


def authorization_of(metadata: Metadata) -> str:
    """Return the value of the caller's `authorization`, "" for none."""
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str):
            return value
    return ""


def _request_id(metadata: Metadata) -> str:
    for key, value in metadata:
        if key == "x-request-id" and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return _new_id()


def _trace(headers: Mapping[str, str], share: float) -> Trace:
    return Trace.of(headers.get("traceparent", ""), headers.get("tracestate", ""), share)


def _new_id() -> str:
    return f"{_PROCESS}{next(_COUNT):08x}"
