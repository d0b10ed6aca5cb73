"""What an answer's headers say of rate limits, and what is made of nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.rate_limits import Allowance, RateLimits
from sidecard.upstream.wire.rate_limits import rate_limits_of

WALL = 1_767_225_600.0  # 2026-01-01T00:00:00Z

WHOLE = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:01Z",
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "29000",
    "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:02Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-output-tokens-reset": "2026-01-01T01:01:00+01:00",
    "anthropic-ratelimit-tokens-limit": "38000",
    "anthropic-ratelimit-tokens-remaining": "29000",
    "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:02Z",
}
REQUESTS = {name: value for name, value in WHOLE.items() if "-requests-" in name}


def test_all_three_limits_are_read() -> None:
    """Each limit with its size, what is left, and the seconds until it is whole."""
    assert rate_limits_of(WHOLE, WALL) == RateLimits(
        requests=Allowance(50, 49, 1.0),
        input_tokens=Allowance(30_000, 29_000, 2.0),
        output_tokens=Allowance(8_000, 0, 60.0),
    )


def test_most_answers_of_gateways_say_nothing() -> None:
    """Without such headers there is nothing; the combined one alone doesn't say of what it is."""
    assert rate_limits_of({"content-type": "text/event-stream"}, WALL) is None
    combined = {name: value for name, value in WHOLE.items() if "-ratelimit-tokens-" in name}
    assert len(combined) == 3
    assert rate_limits_of(combined, WALL) is None


def test_a_limit_alone_is_told_alone() -> None:
    """What isn't named is None, for whole limits and for their parts."""
    assert rate_limits_of(REQUESTS, WALL) == RateLimits(requests=Allowance(50, 49, 1.0))
    only = {"anthropic-ratelimit-requests-limit": "50"}
    assert rate_limits_of(only, WALL) == RateLimits(requests=Allowance(50, None, None))


@pytest.mark.parametrize("odd", ["", "-1", "+5", "1.5", "1e9", "many", "0", "²", "9" * 13, " 50"])
def test_an_odd_limit_is_none(odd: str) -> None:
    """What is no size of a limit leaves the other limits as they are."""
    told = rate_limits_of(WHOLE | {"anthropic-ratelimit-requests-limit": odd}, WALL)
    assert told is not None
    assert told.requests is None
    assert told.output_tokens is not None


@pytest.mark.parametrize("odd", ["", "-1", "1.5", "lots", "9" * 13, "²"])
def test_an_odd_rest_is_unknown(odd: str) -> None:
    """What is left is unknown where it is no number, and the limit still holds."""
    told = rate_limits_of(REQUESTS | {"anthropic-ratelimit-requests-remaining": odd}, WALL)
    assert told == RateLimits(requests=Allowance(50, None, 1.0))


@pytest.mark.parametrize("odd", ["", "soon", "12", "2026-13-01T00:00:00Z", "2026-01-01T00:00:01"])
def test_an_odd_reset_is_unknown(odd: str) -> None:
    """A moment that none is, or that doesn't say in which zone, isn't guessed."""
    told = rate_limits_of(REQUESTS | {"anthropic-ratelimit-requests-reset": odd}, WALL)
    assert told == RateLimits(requests=Allowance(50, 49, None))


def test_a_reset_that_has_passed_is_now() -> None:
    """Clocks differ: no duration is below 0."""
    told = rate_limits_of(WHOLE, WALL + 3_600)
    assert told is not None
    assert told.requests == Allowance(50, 49, 0.0)


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), st.text(max_size=30)))
def test_no_header_raises(headers: dict[str, str]) -> None:
    """Whatever the headers hold, sizes are above 0, and nothing is below it."""
    told = rate_limits_of(headers, WALL)
    if told is None:
        return
    for allowance in (told.requests, told.input_tokens, told.output_tokens):
        if allowance is not None:
            assert allowance.limit is not None
            assert allowance.limit > 0
            assert (allowance.remaining or 0) >= 0
            assert (allowance.reset_s or 0) >= 0
