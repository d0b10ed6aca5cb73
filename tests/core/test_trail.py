"""Trails: what all attempts of a call cost together."""

from sidecard.core.trail import Trail


def test_the_cost_is_that_of_all_attempts() -> None:
    """Nothing was tried and nothing was sent cost nothing; then each attempt counts."""
    trail = Trail()
    assert trail.cost_nano_usd == 0
    trail.skip("a", 0.0, "BREAKER_OPEN")
    assert trail.cost_nano_usd == 0
    trail.begin("b", 0.0).cost_nano_usd = 0
    trail.begin("c", 0.0).cost_nano_usd = 7
    trail.begin("d", 0.0).cost_nano_usd = 5
    assert trail.cost_nano_usd == 12


def test_one_unknown_cost_makes_all_unknown() -> None:
    """An attempt that still runs, or whose price nobody knows, isn't taken for free."""
    trail = Trail()
    trail.begin("a", 0.0).cost_nano_usd = 7
    trail.begin("b", 0.0)
    assert trail.cost_nano_usd is None
