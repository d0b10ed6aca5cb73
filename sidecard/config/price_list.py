"""The price list that is in force: what is configured, and behind it the one that comes with this.

`prices.json` is made by `scripts/prices.py`, and read where a price is first asked for.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sidecard.config.prices import NANO, ModelPrice, TokenPrices
from sidecard.config.schema import Config
from sidecard.core import jsonio
from sidecard.policy.pricing import Price, Prices, Rates, Tier

_FILE = Path(__file__).with_name("prices.json")


class Listed(NamedTuple):
    """The list that comes with this version: what it is, and its prices by name."""

    version: str
    prices: Mapping[str, Price]


def prices_of(config: Config) -> Prices:
    """Return the prices that hold for a configuration."""
    own = {name: price_of(model) for name, model in config.prices.models.items()}
    if config.upstream.sdk_client != "anthropic":
        return Prices(own, version="configured")
    version, known = listed()
    return Prices(own, known, version=version)


@cache
def listed() -> Listed:
    """Return the list that comes with this version."""
    content = jsonio.loads(_FILE.read_bytes())
    prices = {
        name: price
        for model in content["models"]
        for price in [price_of(ModelPrice.model_validate(model["price"]))]
        for name in model["names"]
    }
    return Listed(f"{content['source']}, {content['day']}", prices)


def price_of(model: ModelPrice) -> Price:
    """Return a configured price in nano-US-dollars."""
    return Price(
        _rates(model),
        tuple([Tier(tier.above, _rates(tier)) for tier in model.tiers]),
        None if model.fast is None else _rates(model.fast),
        None if model.web_search is None else int(model.web_search * NANO),
        model.us_percent,
    )


def _rates(prices: TokenPrices) -> Rates:
    read, write_5m, write_1h = prices.cache_read, prices.cache_write_5m, prices.cache_write_1h
    paid = int(prices.input * NANO)
    return Rates(
        paid,
        int(prices.output * NANO),
        paid if read is None else int(read * NANO),
        -(-paid * 5 // 4) if write_5m is None else int(write_5m * NANO),
        paid * 2 if write_1h is None else int(write_1h * NANO),
    )
