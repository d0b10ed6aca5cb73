"""Make sidecard/config/prices.json from genai-prices, or (--check) say whether it is stale.

    python scripts/prices.py [--check]

The package itself isn't part of the daemon: measured, importing its data takes 450 ms and 23 MB,
for the prices of every provider that there is. This file has those of Anthropic's own API.
Dated prices are those of the day that the file was made, so that --check finds the same again.
"""

import json
import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from genai_prices import types
from genai_prices.data import providers

OUT = Path(__file__).resolve().parent.parent / "sidecard/config/prices.json"
NAMES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "web_searches_kcount": "web_search",
}
TOKENS = [name for name in NAMES.values() if name != "web_search"]
# https://platform.claude.com/docs/en/about-claude/pricing#data-residency-pricing: from 4.6 on,
# each token costs a tenth more with inference_geo "us". The package doesn't have that.
US_PERCENT = 110
US = re.compile(r"claude-[a-z]+-(4-[6-9]|[5-9])(-\d)?")
DATED = re.compile(r"\^([a-z0-9-]+?)(?:-|\[-@\])\\d\{(?:8|4)\}(?:-\\d\{2\}){0,2}\$")

Fields = dict[str, object]


def page(day: datetime) -> str:
    """Return the file's text, with the prices of a day."""
    [anthropic] = [provider for provider in providers if provider.id == "anthropic"]
    # The models before prompt caching are gone.
    living = [model for model in anthropic.models if model.get_prices(day).cache_read_mtok]
    models = [_model(model, day) for model in living]
    source = f"genai-prices {version('genai-prices')}"
    top = json.dumps({"source": source, "day": f"{day:%Y-%m-%d}"})[:-1]
    lines = ",\n".join(json.dumps(model) for model in models)
    return f'{top}, "models": [\n{lines}\n]}}\n'


def _model(model: types.ModelInfo, day: datetime) -> dict[str, list[str] | Fields]:
    price = _price(model.get_prices(day))
    if US.fullmatch(model.id):
        price["us_percent"] = US_PERCENT
    for variant in model.price_variants or ():
        if variant.when == {"speed": "fast"}:
            price["fast"] = _price(variant.prices)
    return {"names": sorted(set(_names(model.match))), "price": price}


def _price(prices: types.ModelPrice) -> Fields:
    given = {own: value for key, own in NAMES.items() if (value := getattr(prices, key))}
    price: Fields = {name: _base(value) for name, value in given.items()}
    tiered = {name: value for name, value in given.items() if isinstance(value, types.TieredPrices)}
    bounds = sorted({tier.start for value in tiered.values() for tier in value.tiers})
    if bounds:
        price["tiers"] = [
            {"above": bound, **{name: _at(given[name], bound) for name in TOKENS}}
            for bound in bounds
        ]
    return price


def _base(value: Decimal | types.TieredPrices) -> str:
    return str(value.base if isinstance(value, types.TieredPrices) else value)


def _at(value: Decimal | types.TieredPrices, bound: int) -> str:
    if isinstance(value, Decimal):
        return str(value)
    return str([tier.price for tier in value.tiers if tier.start <= bound][-1])


def _names(match: types.MatchLogic) -> list[str]:
    """Return the names that a model has, in lower case as the package compares them.

    One that ends in * is the beginning of names; a date may follow any other.
    """
    match match:
        case types.ClauseOr():
            return [name for clause in match.or_ for name in _names(clause)]
        case types.ClauseEquals():
            return [match.equals]
        case types.ClauseStartsWith():
            return [f"{match.starts_with}*"]
        case types.ClauseRegex() if dated := DATED.fullmatch(match.regex):
            return [dated[1]]
    sys.exit(f"a kind of match that this script doesn't know: {match}")


def main(arguments: list[str]) -> int:
    """Run, and return the exit status."""
    if arguments == ["--check"]:
        held = OUT.read_text(encoding="utf-8")
        day = datetime.fromisoformat(json.loads(held)["day"]).replace(tzinfo=UTC)
        if held == page(day):
            return 0
        print(f"{OUT.name} is stale: `python scripts/prices.py` makes it anew.")
        return 1
    OUT.write_text(page(datetime.now(UTC)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
