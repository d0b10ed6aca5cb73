"""Every way a call can fail, one class a reason; the reasons are the daemon's.

A reason that this version doesn't know comes as `SidecardError` itself, with `reason` set.
"""

import re
from dataclasses import dataclass
from typing import Final

import grpc


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request: the field's path in the contract, and what to do."""

    field: str
    description: str


class SidecardError(Exception):
    """A call failed. Nothing is sent again by itself.

    `reason` is its stable name (`UPSTREAM_THROTTLED`) and `code` gRPC's;
    `retry_after_s` are the seconds after which trying again makes sense, None if nobody said.
    `request_id` is in the daemon's log too, `target` is where it failed,
    `attempts` how many were made, and `violations` what is wrong with the request.
    `partial_text` is what a stream had delivered; of an invalid output, its beginning.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        retry_after_s: float | None = None,
        request_id: str = "",
        target: str = "",
        attempts: int = 0,
        violations: tuple[Violation, ...] = (),
        partial_text: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or reason_of(type(self))
        self.code = code
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.target = target
        self.attempts = attempts
        self.violations = violations
        self.partial_text = partial_text

    def __str__(self) -> str:
        notes = [f"request {self.request_id}"] if self.request_id else []
        if self.retry_after_s is not None:
            notes.append(f"retry after {self.retry_after_s:g} s")
        return f"{self.reason}: {self.message}" + (f" ({', '.join(notes)})" if notes else "")


class InvalidCall(SidecardError):
    """The request breaks a rule: `violations` name the fields."""


class Unauthenticated(SidecardError):
    """The daemon wants a token, or another one."""


class PermissionDenied(SidecardError):
    """The token is for another tenant."""


class NotCached(SidecardError):
    """Only the cache was to answer, and it has no fresh answer."""


class Overloaded(SidecardError):
    """The daemon has no room for the call, or its deadline can't be met."""


class BudgetExhausted(SidecardError):
    """A budget has no room for the call: `violations` name it."""


class RateLimited(SidecardError):
    """The daemon's own rate limit would make the call wait too long."""


class BreakerOpen(SidecardError):
    """The target failed so often that it is left alone for a while."""


class DeadlineExceeded(SidecardError):
    """The call's time was over before its answer was whole."""


class ShuttingDown(SidecardError):
    """The daemon ends, and the call wasn't done in time: another daemon may take it."""


class UpstreamThrottled(SidecardError):
    """The upstream limits the rate (429)."""


class UpstreamUnavailable(SidecardError):
    """The upstream is down, out of reach or too slow."""


class UpstreamRefused(SidecardError):
    """The upstream finds the request itself at fault."""


class UpstreamMisconfigured(SidecardError):
    """Key, permission, billing or model name: the daemon's operator has to act."""


class UpstreamInterrupted(SidecardError):
    """The answer broke off; `partial_text` is what came, and not an answer."""


class InvalidOutput(SidecardError):
    """The model's output doesn't satisfy the schema: `violations` say where."""


class Unavailable(SidecardError):
    """No daemon answers at the address, or it went away."""


def reason_of(kind: type[SidecardError]) -> str:
    """Return the class's name as the daemon writes it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).upper()


BY_REASON: Final = {reason_of(kind): kind for kind in SidecardError.__subclasses__()}
