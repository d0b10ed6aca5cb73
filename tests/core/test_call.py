"""`Call`: what it becomes for another target."""

import pytest

from sidecard.core.call import Target
from tests.support.script import TARGET, a_call


def small(limit: int | None) -> Target:
    """Return a target that writes no more than so many tokens."""
    return Target("small", max_output_tokens=limit)


@pytest.mark.parametrize("limit", [None, 8_000, 9_000])
def test_a_target_that_writes_enough_is_asked_the_same(limit: int | None) -> None:
    """Only the target changes, and for the same target not even the call."""
    call = a_call(parameters={"max_tokens": 8_000})
    there = call.to(small(limit))
    assert there.target.name == "small"
    assert there.parameters is call.parameters
    assert there.trail is call.trail
    assert call.to(TARGET) is call


@pytest.mark.parametrize(
    ("limit", "thinking", "then"),
    [
        (4_000, 6_000, 3_000),
        (2_000, 1_500, 1_024),
        (1_025, 7_999, 1_024),
        (1_024, 7_999, None),
    ],
)
def test_thinking_keeps_its_share(limit: int, thinking: int, then: int | None) -> None:
    """A budget for thinking stays below what is written in all, or goes where none is possible."""
    asked = {"type": "enabled", "budget_tokens": thinking, "display": "omitted"}
    call = a_call(parameters={"max_tokens": 8_000, "thinking": asked})
    parameters = call.to(small(limit)).parameters
    assert parameters["max_tokens"] == limit
    if then is None:
        assert "thinking" not in parameters
    else:
        assert parameters["thinking"] == {**asked, "budget_tokens": then}
    assert call.parameters["thinking"]["budget_tokens"] == thinking


def test_thinking_without_a_budget_stays() -> None:
    """Adaptive thinking has none."""
    call = a_call(parameters={"max_tokens": 8_000, "thinking": {"type": "adaptive"}})
    parameters = call.to(small(100)).parameters
    assert parameters == {"max_tokens": 100, "thinking": {"type": "adaptive"}}
