"""Every way a call can fail: one closed tree, named by condition.

    SidecardError
    ├── InvalidCall              the caller's mistake, found here
    ├── Unauthenticated          no caller's token, or a wrong one
    ├── PermissionDenied         the token is not for this tenant
    ├── NotCached                only the cache may answer, and it can't
    ├── Overloaded               no room here, or the deadline can't be met
    ├── BudgetExhausted          the ledger refuses
    ├── RateLimited              the bucket's wait is longer than allowed
    ├── BreakerOpen              open, or half-open without a permit
    ├── DeadlineExceeded         the call's deadline passed
    ├── ShuttingDown             the daemon ends, and the call wasn't done in time
    ├── UpstreamError
    │   ├── UpstreamThrottled       429
    │   ├── UpstreamUnavailable     5xx, 408, 409, connection faults, timeouts, nonsense
    │   ├── UpstreamRefused         other 4xx: the caller's mistake, found there
    │   ├── UpstreamMisconfigured   401, 402, 403, 404, 407: the operator's
    │   └── UpstreamInterrupted     failed after commit
    └── InvalidOutput            structured output still invalid after the re-asks

`server/status.py` maps them to gRPC and `upstream/classify.py` makes the upstream's.
Anything else that is raised is a bug.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import ClassVar

from sidecard.core.event import Usage
from sidecard.core.rate_limits import RateLimits


class Blame(Enum):
    """Whose the failure is: the one who has to change something."""

    CALLER = "caller"
    LOCAL = "local"
    UPSTREAM = "upstream"
    OPERATOR = "operator"


class SidecardError(Exception):
    """A call failed for a reason that has a name.

    `retryable`: another attempt at the same target may succeed.
    `moves_on`: another target may succeed.
    `retry_after_s`: seconds after which trying again makes sense, None when nobody said.
    `target` is where it failed.
    """

    retryable: ClassVar[bool] = False
    moves_on: bool = False
    blame: ClassVar[Blame]

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        target: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.target = target

    @cached_property
    def reason(self) -> str:
        """The error's name as callers see it: `UPSTREAM_THROTTLED`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).upper()


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request: the field's path as the contract names it, and the fix."""

    field: str
    description: str


class InvalidCall(SidecardError):
    """The request breaks a rule that can be checked without the upstream."""

    blame = Blame.CALLER

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join([f"{v.field}: {v.description}" for v in violations]))
        self.violations = violations
        self.fields = tuple([violation.field for violation in violations])


class Unauthenticated(SidecardError):
    """The caller showed no token, or one that isn't known."""

    blame = Blame.CALLER


class PermissionDenied(SidecardError):
    """The caller's token doesn't allow this tenant."""

    blame = Blame.CALLER
    fields = ("tenant",)


class NotCached(SidecardError):
    """The call may be answered by the cache alone, and there is no fresh answer there."""

    blame = Blame.CALLER


class Overloaded(SidecardError):
    """There is no room here.

    The queue is full, the deadline can't be met at the current rate, too many calls are open,
    or the machine lacks memory, a descriptor, or the process that checks schemas.
    """

    blame = Blame.LOCAL


class BudgetExhausted(SidecardError):
    """A budget has no room for what the attempt may cost at most.

    `moves_on` where a cheaper target's may still fit. `budget` is the budget's name.
    """

    blame = Blame.LOCAL

    def __init__(
        self,
        message: str,
        *,
        budget: str = "",
        moves_on: bool = False,
        retry_after_s: float | None = None,
        target: str = "",
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, target=target)
        self.budget = budget
        self.moves_on = moves_on


class RateLimited(SidecardError):
    """This target's bucket would make the call wait longer than allowed."""

    moves_on = True
    blame = Blame.LOCAL


class BreakerOpen(SidecardError):
    """This target's breaker lets no attempt through now."""

    moves_on = True
    blame = Blame.UPSTREAM


class DeadlineExceeded(SidecardError):
    """The call's deadline passed before it had an answer."""

    blame = Blame.LOCAL


class ShuttingDown(SidecardError):
    """The daemon ends, and the call wasn't done when the time for that was over."""

    blame = Blame.LOCAL


class UpstreamError(SidecardError):
    """The upstream failed the call.

    `status` is its HTTP status, None when there was no answer;
    `upstream_request_id` its own id of the request, empty when it gave none;
    `should_retry` its explicit word on retrying (`x-should-retry`), None when it gave none.
    `usage` is what it reported as used before it failed, `rate_limits` what it said of those.
    """

    blame = Blame.UPSTREAM
    status: int | None = None
    upstream_request_id: str = ""
    should_retry: bool | None = None
    usage: Usage | None = None
    rate_limits: RateLimits | None = None


class UpstreamThrottled(UpstreamError):
    """The upstream limits our rate (429)."""

    retryable = True
    moves_on = True


class UpstreamUnavailable(UpstreamError):
    """The upstream is down, out of reach, too slow, or answers nonsense."""

    retryable = True
    moves_on = True


class UpstreamRefused(UpstreamError):
    """The upstream finds the request itself at fault (a 4xx): no other target would take it."""

    blame = Blame.CALLER


class UpstreamMisconfigured(UpstreamError):
    """Key, permission, billing, model name or proxy: the operator has to act (401 to 404, 407)."""

    moves_on = True
    blame = Blame.OPERATOR


class UpstreamInterrupted(UpstreamError):
    """The stream broke after part of it was delivered; `usage` is what it used so far."""


class InvalidOutput(SidecardError):
    """The model's output doesn't satisfy the schema; `raw` is the text it gave."""

    moves_on = True
    blame = Blame.UPSTREAM

    def __init__(self, message: str, *, raw: str, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(message)
        self.raw = raw
        self.violations = violations
