"""Configured prices: exact decimals, clear mistakes, and the list that comes with the daemon."""

import subprocess
import sys
from decimal import Decimal
from math import ceil
from pathlib import Path

import pytest
from genai_prices import Usage as Theirs
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from sidecard.config.price_list import listed, prices_of
from sidecard.config.routes import DEFAULT_MODELS
from sidecard.config.schema import Config
from sidecard.core.event import Usage
from tests.config.conftest import Refused, Taken

ROOT = Path(__file__).parents[2]
MODELS = [name.removesuffix("*") for name in listed().prices]


def one(taken: Taken, price: str) -> Config:
    return taken(f"prices: {{models: {{m: {price}}}}}").config


def test_the_list_is_not_stale() -> None:
    """prices.json is what `python scripts/prices.py` makes of the package that is installed."""
    check = [sys.executable, str(ROOT / "scripts/prices.py"), "--check"]
    made = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout) == (0, "")


def test_the_default_models_have_a_price() -> None:
    """With no configuration at all every cost is known, and by which list."""
    prices = prices_of(Config())
    assert all(prices.find(model) for model in DEFAULT_MODELS)
    assert prices.version.startswith("genai-prices ")


COUNTS = st.integers(0, 300_000)


@given(st.sampled_from(MODELS), st.tuples(*[COUNTS] * 5))
def test_the_package_says_the_same(model: str, counts: tuple[int, ...]) -> None:
    """Whatever was used, the cost is the package's own, rounded up to a nano-dollar."""
    fresh, read, write_5m, write_1h, written = counts
    theirs = calc_price(
        Theirs(
            input_tokens=1 + fresh + read + write_5m + write_1h,
            cache_read_tokens=read,
            cache_write_tokens=write_5m + write_1h,
            cache_write_1h_tokens=write_1h,
            output_tokens=written,
        ),
        model,
        provider_id="anthropic",
    )
    ours = Usage(1 + fresh, written, read, write_5m + write_1h, write_1h)
    exact = theirs.total_price * 10**9
    assert prices_of(Config()).cost(model, ours) == ceil(exact)


def test_a_price_is_the_decimal_that_was_written(taken: Taken) -> None:
    """A number, a text and one with an exponent are exact, where a float isn't."""
    for written in ("0.3", '"0.3"', "3e-1", "0.30"):
        config = one(taken, f"{{input: {written}, output: 1}}")
        assert config.prices.models["m"].input == Decimal("0.3")
        assert prices_of(config).cost("m", Usage(10)) == 3_000


def test_what_is_left_out_is_not_too_low(taken: Taken) -> None:
    """Cached tokens cost what Anthropic's multiples say, and reads as much as fresh input."""
    prices = prices_of(one(taken, "{input: 2, output: 1}"))
    assert prices.cost("m", Usage(1, cache_read_tokens=100)) == 202_000
    assert prices.cost("m", Usage(1, cache_write_tokens=100)) == 252_000
    hour = Usage(1, cache_write_tokens=100, cache_write_1h_tokens=100)
    assert prices.cost("m", hour) == 402_000
    assert prices.cost("m", Usage(1, web_search_requests=1)) is None


def test_all_of_a_price_can_be_set(taken: Taken) -> None:
    """Tiers, speed, searches and the share of the US are taken as they are given."""
    config = one(
        taken,
        "{input: 1, output: 2, cache_read: 0.1, cache_write_5m: 1.5, cache_write_1h: 3, "
        "web_search: 5, us_percent: 120, fast: {input: 4, output: 8}, "
        "tiers: [{above: 10, input: 10, output: 20}]}",
    )
    prices = prices_of(config)
    assert prices.cost("m", Usage(10, 1)) == 12_000
    assert prices.cost("m", Usage(11, 1)) == 130_000
    assert prices.cost("m", Usage(10, 1, raw={"speed": "fast"})) == 48_000
    assert prices.cost("m", Usage(10, raw={"inference_geo": "us"})) == 12_000
    assert prices.cost("m", Usage(1, web_search_requests=1)) == 1_000 + 5_000_000


def test_a_configured_price_replaces_the_listed_one(taken: Taken) -> None:
    """By its name or by a pattern; and other clouds' prices are not Anthropic's."""
    config = taken("prices: {models: {claude-haiku-*: {input: 7, output: 7}}}").config
    assert prices_of(config).cost("claude-haiku-5-5", Usage(1)) == 7_000
    assert prices_of(config).cost("claude-opus-5-5", Usage(1)) == 4_000
    cloud = prices_of(taken("{upstream: {sdk_client: bedrock}, prices: {unknown: allow}}").config)
    assert (cloud.cost("claude-opus-5-5", Usage(1)), cloud.version) == (None, "configured")


@pytest.mark.parametrize(
    "price", ["-1", "true", "x", "[1]", "1000001", "0.0000000001", '"nan"', ".inf", "null", '"1e"']
)
def test_a_wrong_amount_is_told(refused: Refused, price: str) -> None:
    """What is no amount of dollars that can be kept exactly names its field and what is right."""
    [problem] = refused(f"prices: {{models: {{m: {{input: {price}, output: 1}}}}}}")
    assert problem.startswith("prices.models.m.input: expected US dollars from 0 to 1000000")


def test_other_mistakes_are_told(refused: Refused) -> None:
    """A missing price, tiers out of order, an unknown key: each where it is."""
    problems = refused(
        "prices: {models: {a: {input: 1}, b: {input: 1, output: 1, inptu: 2, tiers: "
        "[{above: 5, input: 1, output: 1}, {above: 5, input: 1, output: 1}]}}}"
    )
    assert [problem.partition(": ")[0] for problem in problems] == [
        "prices.models.a.output",
        "prices.models.b.tiers",
        "prices.models.b.inptu",
    ]
    assert "did you mean input?" in problems[2]


def test_a_target_without_a_price_can_be_refused(refused: Refused, taken: Taken) -> None:
    """It is a mistake, at its line, unless that is allowed; then only its cost is unknown."""
    routes = "routes:\n  default:\n    targets:\n      - model: new-model\n"
    [problem] = refused(f"{routes}prices: {{}}\n")
    assert problem.startswith("routes.default.targets[0].model: has no known price")
    assert "line 4" in problem
    assert "prices.models" in problem
    for how in ("auto", "allow"):
        assert taken(f"{routes}prices: {{unknown: {how}}}\n")
    assert taken(f"{routes}prices: {{unknown: refuse, models: {{new-*: {{input: 1, output: 1}}}}}}")
