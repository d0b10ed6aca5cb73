"""Errors to statuses: every error has a code, and every status says what happened."""

from base64 import b64encode
from urllib.parse import quote

import pytest
from google.rpc.error_details_pb2 import BadRequest, DebugInfo, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from sidecard.core import errors
from sidecard.core.errors import SidecardError, Violation
from sidecard.core.trail import Trail
from sidecard.server.arrival import Arrival
from sidecard.server.status import CODES, code_of, details_of, message_of
from tests.core.test_errors import leaves

CODE_NAMES = {
    "InvalidCall": "INVALID_ARGUMENT",
    "Unauthenticated": "UNAUTHENTICATED",
    "PermissionDenied": "PERMISSION_DENIED",
    "NotCached": "NOT_FOUND",
    "Overloaded": "RESOURCE_EXHAUSTED",
    "ShuttingDown": "UNAVAILABLE",
    "BudgetExhausted": "RESOURCE_EXHAUSTED",
    "RateLimited": "RESOURCE_EXHAUSTED",
    "BreakerOpen": "UNAVAILABLE",
    "DeadlineExceeded": "DEADLINE_EXCEEDED",
    "UpstreamThrottled": "RESOURCE_EXHAUSTED",
    "UpstreamUnavailable": "UNAVAILABLE",
    "UpstreamRefused": "INVALID_ARGUMENT",
    "UpstreamMisconfigured": "FAILED_PRECONDITION",
    "UpstreamInterrupted": "ABORTED",
    "InvalidOutput": "FAILED_PRECONDITION",
}


def _arrival() -> Arrival:
    """Return the arrival of a call that was sent once and skipped a target."""
    trail = Trail()
    trail.begin("claude-test", 0.0)
    trail.skip("claude-other", 0.0, "BREAKER_OPEN")
    return Arrival("req-1", 0.0, 600.0, trail)


def details(error: BaseException) -> tuple[Status, dict[str, object]]:
    status = Status.FromString(details_of(error, _arrival()))
    found: dict[str, object] = {}
    for detail in status.details:
        for kind in (ErrorInfo, RetryInfo, BadRequest, QuotaFailure, DebugInfo):
            unpacked = kind()
            if detail.Unpack(unpacked):
                found[kind.__name__] = unpacked
    return status, found


@pytest.mark.parametrize("error", leaves(SidecardError))
def test_every_error_has_its_code(error: type[SidecardError]) -> None:
    """The codes are those of the architecture's table, for every error there is."""
    assert CODES[error].name == CODE_NAMES[error.__name__]


def test_every_status_says_who_and_what() -> None:
    """ErrorInfo has the domain, the reason, and what finds the call again."""
    error = errors.UpstreamUnavailable("down", target="claude-test")
    error.status, error.upstream_request_id = 529, "req_up"
    status, found = details(error)
    info = found["ErrorInfo"]
    assert isinstance(info, ErrorInfo)
    assert (info.domain, info.reason) == ("sidecard.dev", "UPSTREAM_UNAVAILABLE")
    assert dict(info.metadata) == {
        "request_id": "req-1",
        "target": "claude-test",
        "attempts": "1",
        "upstream_status": "529",
        "upstream_request_id": "req_up",
    }
    assert (status.code, status.message) == (code_of(error).value[0], "down")


def test_waiting_is_told_where_it_helps() -> None:
    """RetryInfo is there exactly when somebody said how long."""
    _, found = details(errors.UpstreamThrottled("slow down", retry_after_s=1.5))
    retry = found["RetryInfo"]
    assert isinstance(retry, RetryInfo)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.5
    assert "RetryInfo" not in details(errors.UpstreamThrottled("slow down"))[1]


def test_bad_requests_name_their_fields() -> None:
    """BadRequest lists the violations, at most twenty, so that the trailer stays in bounds."""
    violations = [Violation(f"messages[{i}].role", "is unspecified") for i in range(10_000)]
    status, found = details(errors.InvalidCall(*violations))
    bad = found["BadRequest"]
    assert isinstance(bad, BadRequest)
    assert [v.field for v in bad.field_violations][:2] == ["messages[0].role", "messages[1].role"]
    assert len(bad.field_violations) == 20
    assert status.ByteSize() < 8_000


def test_a_budget_is_a_quota() -> None:
    """QuotaFailure says which budget had no room, RetryInfo when it will."""
    _, found = details(errors.BudgetExhausted("no room", budget="team-a", retry_after_s=60.0))
    quota, retry = found["QuotaFailure"], found["RetryInfo"]
    assert isinstance(quota, QuotaFailure)
    assert isinstance(retry, RetryInfo)
    [violation] = quota.violations
    assert (violation.subject, violation.description) == ("team-a", "no room")
    assert retry.retry_delay.ToSeconds() == 60


def test_invalid_output_shows_its_raw_text() -> None:
    """The raw text and the violations are in the details, the text cut to fit a trailer."""
    error = errors.InvalidOutput("no", raw="x" * 9_000, violations=(Violation("/a", "missing"),))
    _, found = details(error)
    raw, bad = found["DebugInfo"], found["BadRequest"]
    assert isinstance(raw, DebugInfo)
    assert isinstance(bad, BadRequest)
    assert (len(raw.detail), bad.field_violations[0].field) == (2_000, "/a")


@pytest.mark.parametrize("letter", ["語", "\ud800", "\x00"])
def test_invalid_output_fits_a_trailer_whatever_the_model_wrote(letter: str) -> None:
    """In any script, and with halves of characters, which protobuf takes none of."""
    violations = tuple([Violation(letter * 300, letter * 300)] * 20)
    status, _ = details(errors.InvalidOutput("no", raw=letter * 9_000, violations=violations))
    assert status.ByteSize() < 6_000


def test_odd_bytes_of_a_header_do_not_break_a_status() -> None:
    """What a header brings that is no UTF-8 is replaced, and a long id is cut."""
    error = errors.UpstreamUnavailable("compressed (\udcff)")
    error.upstream_request_id = "\udcff" + "x" * 9_000
    status, found = details(error)
    info = found["ErrorInfo"]
    assert isinstance(info, ErrorInfo)
    assert status.message == "compressed (?)"
    assert info.metadata["upstream_request_id"] == "?" + "x" * 127


def test_no_status_outgrows_its_trailers() -> None:
    """Whatever it says, a status stays within the 8 KiB that callers take of trailers."""
    violations = [Violation(f"extra.{'🐦' * 30}", "🐦" * 60) for _ in range(20)]
    error = errors.InvalidCall(*violations)
    encoded_message = quote(message_of(error), safe="")
    assert len(b64encode(details_of(error, _arrival()))) + len(encoded_message) < 7_500
    assert details(error)[1]["BadRequest"]


def test_bugs_tell_nothing() -> None:
    """What isn't a named error is INTERNAL, and its text stays in the log."""
    bug = ValueError("secret")
    status, found = details(bug)
    info = found["ErrorInfo"]
    assert isinstance(info, ErrorInfo)
    assert (code_of(bug).name, info.reason) == ("INTERNAL", "INTERNAL")
    assert "secret" not in status.message
    assert "secret" not in message_of(bug)
