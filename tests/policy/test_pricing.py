"""Prices: each kind of usage against amounts worked out by hand, and a worst case that is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.event import Usage
from sidecard.policy.pricing import Price, Prices, Rates, Terms, Tier

DOLLAR = 10**9
# Dollars for a million tokens: 3 in, 15 out, 0.3 read, 3.75 and 6 written; 10 a thousand searches.
LOW = Rates(3 * DOLLAR, 15 * DOLLAR, 3 * DOLLAR // 10, 15 * DOLLAR // 4, 6 * DOLLAR)
HIGH = Rates(*[2 * rate for rate in LOW])
FAST = Rates(*[5 * rate for rate in LOW])
TIERED = Price(LOW, (Tier(1_000, HIGH),), FAST, 10 * DOLLAR, 110)
PRICES = Prices({"tiered": TIERED, "plain-*": Price(LOW), "*-x": Price(HIGH)}, {"listed": TIERED})


def usage(**fields: object) -> Usage:
    return Usage(**{"input_tokens": 1, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("used", "nano_usd"),
    [
        (usage(input_tokens=1_000), 3_000_000),
        (usage(output_tokens=100), 3_000 + 1_500_000),
        (usage(cache_read_tokens=100), 3_000 + 30_000),
        (usage(cache_write_tokens=100), 3_000 + 375_000),
        (usage(cache_write_tokens=100, cache_write_1h_tokens=100), 3_000 + 600_000),
        (usage(cache_write_tokens=100, cache_write_1h_tokens=40), 3_000 + 225_000 + 240_000),
        (usage(web_search_requests=3), 3_000 + 30_000_000),
        (usage(input_tokens=1_001, output_tokens=1), 6_006_000 + 30_000),
        (usage(input_tokens=501, cache_read_tokens=500), 3_006_000 + 300_000),
        (usage(cache_write_tokens=1_000), 6_000 + 7_500_000),
        (usage(input_tokens=100, raw={"speed": "fast"}), 1_500_000),
        (usage(input_tokens=100, raw={"speed": "standard"}), 300_000),
        (usage(input_tokens=100, raw={"inference_geo": "us"}), 330_000),
        (usage(web_search_requests=1, raw={"inference_geo": "us"}), 3_300 + 10_000_000),
        (usage(raw={"inference_geo": "not_available", "service_tier": "priority"}), 3_000),
        (usage(apart=(("", usage(output_tokens=2)),)), 3_000 + 3_000 + 30_000),
        (usage(apart=(("plain-advisor", usage(output_tokens=1)),)), 6_000 + 15_000),
    ],
)
def test_each_kind_of_usage_has_its_price(used: Usage, nano_usd: int) -> None:
    """What is used costs what the price list says, to the nano-dollar."""
    assert PRICES.cost("tiered", used) == nano_usd


@pytest.mark.parametrize(
    ("model", "used"),
    [
        ("nobody's", usage()),
        ("plain-a", usage(web_search_requests=1)),
        ("plain-a", usage(raw={"speed": "fast"})),
        ("tiered", usage(raw={"speed": "faster"})),
        ("tiered", usage(raw={"speed": ["fast"]})),
        ("tiered", usage(raw={"inference_geo": "mars"})),
        ("tiered", usage(apart=(("?", usage()),))),
        ("tiered", Usage()),
        ("tiered", Usage(output_tokens=5)),
    ],
)
def test_what_is_not_known_is_not_free(model: str, used: Usage) -> None:
    """A model, a speed, a place or a step without a price, and lost usage, have no cost at all."""
    assert PRICES.cost(model, used) is None


def test_a_cost_is_rounded_up_once() -> None:
    """Fractions of a nano-dollar add up before they count as a whole one."""
    prices = Prices({"m": Price(Rates(1, 1, 1, 1, 1))})
    assert prices.cost("m", Usage(1, 1, 1)) == 1
    assert prices.cost("m", Usage(1_000_000, 1)) == 2


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("tiered", TIERED),
        ("plain-b", Price(LOW)),
        ("plain-x", Price(LOW)),
        ("other-x", Price(HIGH)),
        ("listed", TIERED),
        ("LISTED", TIERED),
        ("listed-20261001", TIERED),
        ("listed@20261001", TIERED),
        ("listed-2", None),
        ("listed-20261001-b", None),
        ("", None),
    ],
)
def test_names_find_their_price(model: str, found: Price | None) -> None:
    """Exact names first, then patterns in order, then the list, whose names may bear a date."""
    assert PRICES.find(model) == found


def test_a_listed_beginning_is_found_but_no_pattern() -> None:
    """Only a star at the end of a listed name means more than itself."""
    prices = Prices({}, {"claude-a-1*": TIERED, "claude-a*": Price(LOW)})
    assert prices.find("claude-a-1-20250101") is TIERED
    assert prices.find("claude-a-2") == Price(LOW)
    assert prices.find("claude-") is None


COUNTS = st.integers(0, 5_000)


@given(st.tuples(*[COUNTS] * 5), st.sampled_from([None, "us", "global"]))
def test_a_worst_case_is_never_below(counts: tuple[int, ...], where: str | None) -> None:
    """However a call's tokens are billed, its worst case covers them."""
    fresh, read, write_5m, write_1h, written = counts
    used = Usage(fresh, written, read, write_5m + write_1h, write_1h, raw={"inference_geo": where})
    total = fresh + read + write_5m + write_1h
    for model in ("tiered", "plain-a"):
        cost, most = PRICES.cost(model, used), PRICES.worst_case(model, total, written)
        assert most is not None
        assert (cost or 0) <= most


def test_a_worst_case_knows_the_terms() -> None:
    """Input that isn't cached, at no place of its own, is reserved at its plain price."""
    plain = Terms(writes_cache=False, anywhere=True)
    assert PRICES.worst_case("tiered", 100, 10, plain) == 300_000 + 150_000
    assert PRICES.worst_case("tiered", 100, 10) == (600_000 + 150_000) * 11 // 10
    assert PRICES.worst_case("tiered", 1_001, 0, plain) == 6_006_000
    assert PRICES.worst_case("plain-a", 100, 10) == 600_000 + 150_000
    searching = Terms(writes_cache=False, anywhere=True, searches=2)
    assert PRICES.worst_case("tiered", 0, 0, searching) == 20_000_000
    fast = Terms(writes_cache=False, fast=True, anywhere=True)
    assert PRICES.worst_case("tiered", 100, 0, fast) == 1_500_000


def test_a_worst_case_without_a_price_is_none() -> None:
    """What can't be bounded is told as that."""
    assert PRICES.worst_case("nobody's", 1, 1) is None
    assert PRICES.worst_case("plain-a", 1, 1, Terms(fast=True)) is None
    assert PRICES.worst_case("plain-a", 1, 1, Terms(searches=1)) is None


def test_a_cheaper_tier_makes_no_cheaper_worst_case() -> None:
    """The input may turn out smaller than its bound, and then the dearer prices hold."""
    prices = Prices({"m": Price(HIGH, (Tier(10, LOW),))})
    assert prices.worst_case("m", 20, 0, Terms(writes_cache=False, anywhere=True)) == 120_000
