"""`sharing`: what those who share one answer have of their own."""

import pytest

from sidecard.core.errors import (
    InvalidCall,
    InvalidOutput,
    SidecardError,
    UpstreamInterrupted,
    UpstreamThrottled,
    Violation,
)
from sidecard.core.event import Usage
from sidecard.policy.sharing import copied


def an_interruption() -> UpstreamInterrupted:
    error = UpstreamInterrupted("it broke", target="claude-test")
    error.usage, error.should_retry, error.status = Usage(3), False, 529
    return error


@pytest.mark.parametrize(
    "error",
    [
        UpstreamThrottled("no", retry_after_s=2.0, target="claude-test"),
        an_interruption(),
        InvalidCall(Violation("a", "is b"), Violation("c", "is d")),
        InvalidOutput("no JSON", raw="{", violations=(Violation("a", "is b"),)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_copy_says_the_same_and_is_its_own(error: SidecardError) -> None:
    """All that a caller is told of it, and where it came from; writing on it shows nowhere else."""
    cause = ValueError("why")
    try:
        raise error from cause
    except SidecardError as raised:
        copy = copied(raised)
    assert isinstance(copy, SidecardError)
    assert (type(copy), copy.args, vars(copy)) == (type(error), error.args, vars(error))
    assert (copy.reason, str(copy)) == (error.reason, str(error))
    assert (copy.__cause__, copy.__suppress_context__) == (cause, True)
    assert copy.__traceback__ is error.__traceback__ is not None
    copy.message = "another"
    assert error.message != "another"


def test_a_bug_is_not_copied() -> None:
    """Nobody writes on it, and it may not let itself be made from its arguments."""
    bug = UnicodeDecodeError("utf-8", b"x", 0, 1, "why")
    assert copied(bug) is bug
