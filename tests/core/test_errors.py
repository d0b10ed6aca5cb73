"""The error tree: closed, named, and told apart as ARCHITECTURE's table says."""

import pytest

from sidecard.core import errors
from sidecard.core.errors import InvalidCall, SidecardError, Violation


def leaves(of: type[SidecardError]) -> list[type[SidecardError]]:
    below = [leaf for sub in of.__subclasses__() for leaf in leaves(sub)]
    return below or [of]


@pytest.mark.parametrize("error", leaves(SidecardError))
def test_every_error_says_whose_it_is(error: type[SidecardError]) -> None:
    """Every error blames somebody, and one that can be retried here can move on, too."""
    assert isinstance(error.blame, errors.Blame)
    assert error.moves_on or not error.retryable


@pytest.mark.parametrize(
    ("name", "retryable", "moves_on"),
    [
        ("InvalidCall", False, False),
        ("Unauthenticated", False, False),
        ("PermissionDenied", False, False),
        ("NotCached", False, False),
        ("Overloaded", False, False),
        ("ShuttingDown", False, False),
        ("BudgetExhausted", False, False),
        ("RateLimited", False, True),
        ("BreakerOpen", False, True),
        ("DeadlineExceeded", False, False),
        ("UpstreamThrottled", True, True),
        ("UpstreamUnavailable", True, True),
        ("UpstreamRefused", False, False),
        ("UpstreamMisconfigured", False, True),
        ("UpstreamInterrupted", False, False),
        ("InvalidOutput", False, True),
    ],
)
def test_the_table_of_the_architecture(name: str, *, retryable: bool, moves_on: bool) -> None:
    """Retry and fallback are as agreed, for every error there is."""
    error = getattr(errors, name)
    assert (error.retryable, error.moves_on) == (retryable, moves_on)
    assert {leaf.__name__ for leaf in leaves(SidecardError)} == TABLE


TABLE = {
    "InvalidCall", "Unauthenticated", "PermissionDenied", "Overloaded", "BudgetExhausted",
    "ShuttingDown", "NotCached",
    "RateLimited", "BreakerOpen", "DeadlineExceeded", "UpstreamThrottled", "UpstreamUnavailable",
    "UpstreamRefused", "UpstreamMisconfigured", "UpstreamInterrupted", "InvalidOutput",
}  # fmt: skip


def test_reasons_are_the_names() -> None:
    """The reason that callers see is the error's name in upper snake case."""
    assert errors.UpstreamThrottled("x").reason == "UPSTREAM_THROTTLED"
    assert errors.BreakerOpen("x").reason == "BREAKER_OPEN"


def test_invalid_calls_name_every_field() -> None:
    """The message of an invalid call has all of its violations."""
    error = InvalidCall(Violation("prompt", "is empty"), Violation("max_tokens", "is 0"))
    assert str(error) == "prompt: is empty; max_tokens: is 0"
