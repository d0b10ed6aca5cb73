"""`keeping`: which answers are kept, how long they are fresh, and what they are after that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.reply import Head, Source
from sidecard.core.store import Stored
from sidecard.policy.keeping import KeepingPolicy, Standing, age_s, expiry, keeps, standing

NOW = 1_790_000_000.0
POLICY = KeepingPolicy(ttl_s=100.0, stale_if_error_s=50.0, stale_while_revalidate_s=10.0)


@pytest.mark.parametrize("source", list(Source))
def test_what_the_upstream_says_is_kept(source: Source) -> None:
    """And nothing else: neither what is from a cache, nor what stands in."""
    assert keeps(POLICY, Head(source, "a"), "end_turn") is (source is Source.UPSTREAM)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("end_turn", True),
        ("stop_sequence", True),
        ("tool_use", True),
        ("max_tokens", False),
        ("pause_turn", False),
        ("refusal", False),
        ("model_context_window_exceeded", False),
        ("", False),
        ("something_new", False),
    ],
)
def test_what_is_final_is_kept(reason: str, kept: bool) -> None:  # noqa: FBT001
    """Refusals, what was cut off and what this version doesn't know are asked again."""
    assert keeps(POLICY, Head(Source.UPSTREAM, "a"), reason) is kept


def test_what_is_degraded_is_kept_on_demand() -> None:
    """An answer of a later target isn't what was asked for, unless that is said to do."""
    head = Head(Source.UPSTREAM, "b", degraded=True)
    assert not keeps(POLICY, head, "end_turn")
    assert keeps(KeepingPolicy(degraded=True), head, "end_turn")


@given(st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e6))
def test_jitter_only_takes_away(chance: float, asked_s: float | None) -> None:
    """No answer is fresh for longer than was said, nor for less than nine tenths of it."""
    fresh_s = expiry(POLICY, asked_s, 0.0, lambda: chance)
    said_s = 100.0 if asked_s is None else asked_s
    assert 0.9 * said_s <= fresh_s <= said_s


def stored(created_s: float, expires_s: float) -> Stored:
    return Stored(b"", NOW + created_s, NOW + expires_s)


@pytest.mark.parametrize(
    ("entry", "asked_ttl_s", "good_for"),
    [
        (stored(-10, 90), None, Standing.FRESH),
        (stored(0, 100), None, Standing.FRESH),
        (stored(-99.9, 0.1), None, Standing.FRESH),
        (stored(-100, 0), None, Standing.REVALIDATE),
        (stored(-109, -9), None, Standing.REVALIDATE),
        (stored(-110, -10), None, Standing.STALE),
        (stored(-149, -49), None, Standing.STALE),
        (stored(-150, -50), None, Standing.GONE),
        (stored(-10, 90), 11.0, Standing.FRESH),
        (stored(-10, 90), 10.0, Standing.REVALIDATE),
        (stored(-30, 70), 10.0, Standing.STALE),
        (stored(-70, 30), 10.0, Standing.GONE),
        (stored(-10, 90), 1_000.0, Standing.FRESH),
        (stored(-101, -1), 1_000.0, Standing.REVALIDATE),
        (stored(-10, 90), 0.0, Standing.STALE),
        (stored(5, 105), None, Standing.REVALIDATE),
        (stored(20, 120), None, Standing.STALE),
        (stored(60, 160), None, Standing.GONE),
    ],
)
def test_what_an_entry_is_good_for(
    entry: Stored, asked_ttl_s: float | None, good_for: Standing
) -> None:
    """Fresh up to its time and to the age that the caller takes; one from the future never is."""
    assert standing(POLICY, entry, asked_ttl_s, NOW) is good_for


def test_nothing_is_stale_where_that_is_not_wanted() -> None:
    """Without the two times an entry is fresh or gone."""
    policy = KeepingPolicy(stale_if_error_s=0.0)
    assert standing(policy, stored(-10, 0), None, NOW) is Standing.GONE
    assert standing(policy, stored(-10, 1), None, NOW) is Standing.FRESH


def test_no_age_is_negative() -> None:
    """An entry from the future was given just now, as far as anybody can say."""
    assert (age_s(stored(-3, 0), NOW), age_s(stored(3, 9), NOW)) == (3.0, 0.0)
