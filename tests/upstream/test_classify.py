"""What the upstream's failures mean, for everything that its SDK knows it to say."""

import json
from email.utils import formatdate
from typing import get_args

import pytest
from anthropic import _exceptions
from anthropic.types.shared.error_type import ErrorType
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.errors import (
    UpstreamError,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.event import Usage
from sidecard.upstream import classify
from sidecard.upstream.transport import Misconfigured, OutOfResources, Phase, TransportFault
from sidecard.upstream.wire.failure import Kind, WireFailure, malformed

NOW = 1_800_000_000.0
WEEK_S = 604_800.0

BY_STATUS: dict[int, type[UpstreamError]] = {
    200: UpstreamUnavailable,
    204: UpstreamUnavailable,
    302: UpstreamUnavailable,
    400: UpstreamRefused,
    401: UpstreamMisconfigured,
    402: UpstreamMisconfigured,
    403: UpstreamMisconfigured,
    404: UpstreamMisconfigured,
    407: UpstreamMisconfigured,
    408: UpstreamUnavailable,
    409: UpstreamUnavailable,
    412: UpstreamRefused,
    413: UpstreamRefused,
    422: UpstreamRefused,
    424: UpstreamRefused,
    425: UpstreamRefused,
    429: UpstreamThrottled,
    431: UpstreamRefused,
    499: UpstreamRefused,
    500: UpstreamUnavailable,
    501: UpstreamUnavailable,
    503: UpstreamUnavailable,
    504: UpstreamUnavailable,
    529: UpstreamUnavailable,
}
BY_TYPE: dict[str, type[UpstreamError]] = {
    "invalid_request_error": UpstreamRefused,
    "request_too_large": UpstreamRefused,
    "memory_precondition_failed_error": UpstreamRefused,
    "authentication_error": UpstreamMisconfigured,
    "billing_error": UpstreamMisconfigured,
    "permission_error": UpstreamMisconfigured,
    "not_found_error": UpstreamMisconfigured,
    "rate_limit_error": UpstreamThrottled,
    "conflict_error": UpstreamUnavailable,
    "memory_path_conflict_error": UpstreamUnavailable,
    "timeout_error": UpstreamUnavailable,
    "api_error": UpstreamUnavailable,
    "overloaded_error": UpstreamUnavailable,
    "a_novel_error": UpstreamUnavailable,
    "throttlingException": UpstreamThrottled,
    "validationException": UpstreamRefused,
}


def body(kind: str = "", message: str = "") -> bytes:
    error = {"type": kind, "message": message}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


def of(status: int, content: bytes = b"", **headers: str) -> UpstreamError:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify.from_status(status, given, content, target="model-1", wall=NOW)


@pytest.mark.parametrize("status", BY_STATUS)
def test_a_status_decides(status: int) -> None:
    """Each status is one error, whatever page comes with it, and keeps its number and target."""
    error = of(status, b"<html>gateway</html>")
    assert type(error) is BY_STATUS[status]
    assert (error.status, error.target) == (status, "model-1")
    assert f"the upstream answered {status}" in error.message


def test_every_status_of_the_sdk_is_looked_at() -> None:
    """A status that the SDK learns to know makes this test fail until somebody places it."""
    kinds = [kind for kind in vars(_exceptions).values() if isinstance(kind, type)]
    statuses = {getattr(kind, "status_code", None) for kind in kinds} - {None}
    assert len(statuses) > 12
    assert statuses <= BY_STATUS.keys()


def test_every_error_type_of_the_sdk_is_looked_at() -> None:
    """An error type that the SDK learns to know makes this test fail until somebody places it."""
    assert set(get_args(ErrorType)) <= classify.TYPES.keys() & BY_TYPE.keys()


@pytest.mark.parametrize("kind", BY_TYPE)
def test_an_error_event_is_the_error_that_it_names(kind: str) -> None:
    """An `error` event after a 200 is what the same type would be as a status."""
    error = classify.from_wire(WireFailure(Kind.ERROR_EVENT, "why", kind), target="model-1")
    assert type(error) is BY_TYPE[kind]
    assert error.status == classify.TYPES.get(kind, 500)
    assert error.message == f"the upstream answered {error.status} {kind}: why"


def test_an_overloaded_event_is_a_529() -> None:
    """The commonest failure behind a 200 may be tried again, like the status that it stands for."""
    failure = WireFailure(Kind.ERROR_EVENT, "Overloaded", "overloaded_error")
    error = classify.from_wire(failure, target="model-1")
    assert (error.status, error.retryable, error.moves_on) == (529, True, True)


def test_nonsense_behind_a_200_is_the_upstreams_fault() -> None:
    """An answer that can't be parsed may be tried again."""
    error = classify.from_wire(malformed("no JSON"), target="model-1")
    assert type(error) is UpstreamUnavailable
    assert error.message == "malformed answer: no JSON"


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (200, "overloaded_error", UpstreamUnavailable),
        (200, "invalid_request_error", UpstreamRefused),
        (400, "billing_error", UpstreamMisconfigured),
        (400, "not_found_error", UpstreamMisconfigured),
        (400, "overloaded_error", UpstreamUnavailable),
        (500, "rate_limit_error", UpstreamThrottled),
        (500, "invalid_request_error", UpstreamUnavailable),
        (529, "authentication_error", UpstreamUnavailable),
        (429, "invalid_request_error", UpstreamThrottled),
        (401, "overloaded_error", UpstreamMisconfigured),
    ],
)
def test_a_type_decides_where_it_says_more(
    status: int, kind: str, expected: type[UpstreamError]
) -> None:
    """Gateways wrap errors in a 400, 500 or 200 of their own; the type inside tells them apart."""
    error = of(status, body(kind, "why"))
    assert type(error) is expected
    assert error.status == status


def test_what_the_upstream_said_is_passed_on() -> None:
    """Message, type and request id reach the caller."""
    error = of(400, body("invalid_request_error", "max_tokens: too large"), request_id="req_9")
    said = "the upstream answered 400 invalid_request_error: max_tokens: too large"
    assert error.message == said
    assert error.upstream_request_id == "req_9"


@pytest.mark.parametrize("status", [302, 404, 204])
def test_a_wrong_address_is_hinted_at(status: int) -> None:
    """What no Messages API answers points the operator at the configured address."""
    assert of(status).message.endswith("is upstream.base_url right?")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after_ms": "soon", "retry_after": "9"}, 9.0),
        ({"retry_after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry_after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry_after": "-5"}, 0.0),
        ({"retry_after": "86400"}, 86_400.0),
        ({"retry_after": "999999999999"}, WEEK_S),
        ({"retry_after": formatdate(NOW + 10 * WEEK_S, usegmt=True)}, WEEK_S),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Mon, 99 Foo 99999 99:99:99 GMT"}, None),
    ],
)
def test_the_delay_that_was_asked_for(headers: dict[str, str], expected: float | None) -> None:
    """Milliseconds, seconds and dates are read, garbage isn't, and none is negative or endless."""
    assert of(429, b"", **headers).retry_after_s == expected


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_breaks_the_reading_of_delays(milliseconds: str, seconds: str) -> None:
    """Whatever stands in the headers gives no delay, or one between nothing and a week."""
    delay_s = of(429, retry_after_ms=milliseconds, retry_after=seconds).retry_after_s
    assert delay_s is None or 0 <= delay_s <= WEEK_S


DATES = r"\A(Mon, )?\d{1,9}[ -]Nov[ -]\d{1,12}( \d{1,9}:\d{1,9}(:\d{1,9})?)? ?(GMT|[+-]\d{1,9})?\Z"


@given(st.from_regex(DATES))
def test_no_date_breaks_the_reading_of_delays(date: str) -> None:
    """What only looks like a date gives no delay, or a bounded one."""
    delay_s = of(503, retry_after=date).retry_after_s
    assert delay_s is None or 0 <= delay_s <= WEEK_S


@pytest.mark.parametrize(("word", "expected"), [("true", True), ("false", False), ("maybe", None)])
def test_the_upstreams_word_on_retrying(word: str, expected: bool | None) -> None:  # noqa: FBT001
    """`x-should-retry` is passed on where it is a word that means something."""
    assert of(500, x_should_retry=word).should_retry is expected


def test_a_fault_of_the_network() -> None:
    """A fault of the network may be tried again, and keeps its reason."""
    error = classify.from_fault(TransportFault(Phase.CONNECT, "no connection"), target="model-1")
    assert type(error) is UpstreamUnavailable
    assert (error.message, error.status, error.target) == ("no connection", None, "model-1")


def test_a_want_of_this_machine() -> None:
    """Without a descriptor nothing is sent: it is no failure of the target, and costs nothing."""
    want = OutOfResources("no connection can be opened: Too many open files")
    error = classify.from_want(want, target="model-1")
    assert (error.message, error.target, error.retry_after_s) == (want.reason, "model-1", 1.0)
    assert not error.retryable
    assert not error.moves_on
    error.__cause__ = want
    assert classify.is_free(error)


def test_what_cannot_be_sent() -> None:
    """A missing key is the operator's, and keeps the sentence that names the fix."""
    error = classify.from_misconfigured(Misconfigured("no key"), target="model-1")
    assert type(error) is UpstreamMisconfigured
    assert (error.message, error.target) == ("no key", "model-1")


def fault(phase: Phase) -> UpstreamError:
    lost = TransportFault(phase, "lost")
    error = classify.from_fault(lost, target="t")
    error.__cause__ = lost
    return error


def answered(status: int) -> UpstreamError:
    return classify.from_status(status, {}, b"", target="t", wall=0.0)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 503, 529])
def test_an_error_of_the_api_is_free(status: int) -> None:
    """It bills no request that it answers with an error's status."""
    assert classify.is_free(answered(status))


@pytest.mark.parametrize("status", [200, 302, 408, 502, 504, 524])
def test_what_a_gateway_lost_may_have_been_billed(status: int) -> None:
    """Nor does an answer that makes no sense say that the upstream did nothing."""
    assert not classify.is_free(answered(status))


def test_a_lost_connection_is_free_only_before_it_was_one() -> None:
    """What may have been read, or has told what it used, may have been billed."""
    assert classify.is_free(fault(Phase.CONNECT))
    assert not classify.is_free(fault(Phase.SEND))
    assert not classify.is_free(fault(Phase.READ))
    begun = answered(529)
    begun.usage = Usage(5, 1)
    assert not classify.is_free(begun)
    assert not classify.is_free(TimeoutError())
    assert classify.is_free(classify.from_misconfigured(Misconfigured("no key"), target="t"))
