"""Prices: what an answer cost by its usage, and the most that a call can cost before it is sent.

Whole nano-US-dollars, rounded up once for each attempt, so that no sum is below what is billed.
What isn't known is None, never 0: a model without a price, a price without the part that was used,
and usage that was reported in a way that this version doesn't know.

The rules are those of https://platform.claude.com/docs/en/about-claude/pricing:
a tier holds for all tokens of a request whose whole input, cached or not, is larger than its bound;
a prompt cache is written at one price for five minutes and another for an hour;
a fast answer has prices of its own; inference in the US alone costs a share more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, NamedTuple

from sidecard.core.event import Usage
from sidecard.policy.keyed import Keyed

_STANDARD: Final = (None, "standard")
_ANYWHERE: Final = (None, "global", "not_available")
_TOKENS: Final = 1_000_000
_SEARCHES: Final = 1_000
_WHOLE: Final = 100
_DATED: Final = re.compile(r"(.+?)[-@]\d{4}-?\d{2}-?\d{2}", re.ASCII)


class Rates(NamedTuple):
    """Nano-US-dollars for a million tokens of each kind."""

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int

    def of(self, usage: Usage) -> int:
        """Return the price of the tokens, in millionths of a nano-US-dollar."""
        write_1h = usage.cache_write_1h_tokens
        return (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_tokens * self.cache_read
            + (usage.cache_write_tokens - write_1h) * self.cache_write_5m
            + write_1h * self.cache_write_1h
        )

    def most(self, input_tokens: int, max_tokens: int, *, writes_cache: bool) -> int:
        """Return the most that so many tokens cost, in millionths of a nano-US-dollar."""
        read = max(self.input, self.cache_read)
        if writes_cache:
            read = max(read, self.cache_write_5m, self.cache_write_1h)
        return input_tokens * read + max_tokens * self.output


class Tier(NamedTuple):
    """The prices of a request with more than `above` tokens of input."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs.

    `tiers` are in the order of their bounds. `fast` are the prices of an answer at speed fast,
    `web_search` is nano-US-dollars for a thousand searches: each is None where it isn't known.
    `us_percent` is what tokens cost that were used in the US alone, in percent of these prices.
    """

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    fast: Rates | None = None
    web_search: int | None = None
    us_percent: int = 100

    def rates_at(self, input_tokens: int, speed: object) -> Rates | None:
        """Return the prices of a request with that much input, None where they aren't known."""
        if speed not in _STANDARD:
            return self.fast if speed == "fast" else None
        reached = [tier.rates for tier in self.tiers if input_tokens > tier.above]
        return reached[-1] if reached else self.rates


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a call changes its price, as far as that is known before it is sent.

    `anywhere`: it asks for no place of its own, so that no workspace's default can make it dearer.
    """

    writes_cache: bool = True
    fast: bool = False
    anywhere: bool = False
    searches: int = 0


DEAREST: Final = Terms()
"""The dearest that a call can be which asks for nothing special."""


class Prices:
    """The price list. Immutable, but for what it remembers of names; safe to share.

    `own` are the configured prices, by model or by pattern, which go before the `listed` ones:
    those are by a model's name, which may be followed by a date, or by its beginning and a `*`.
    `version` says which list that is.
    """

    __slots__ = ("_found", "_listed", "_own", "version")

    def __init__(
        self,
        own: Mapping[str, Price],
        listed: Mapping[str, Price] = MappingProxyType({}),
        *,
        version: str = "",
    ) -> None:
        self._own = own
        self._listed = listed
        self._found: Keyed[Price | None] = Keyed(self._find)
        self.version = version

    def find(self, model: str) -> Price | None:
        """Return a model's price, None when it isn't known."""
        return self._found(model)

    def _find(self, model: str) -> Price | None:
        if model in self._own:
            return self._own[model]
        for pattern, price in self._own.items():
            if fnmatchcase(model, pattern):
                return price
        name = model.lower()
        dated = _DATED.fullmatch(name)
        listed = self._listed.get(name) or (self._listed.get(dated[1]) if dated else None)
        if listed is not None:
            return listed
        begun = (price for known, price in self._listed.items() if _begins(name, known))
        return next(begun, None)

    def cost(self, model: str, usage: Usage) -> int | None:
        """Return what a whole answer of `model` cost, in nano-US-dollars, None for not known.

        An answer that read no input at all isn't free: its usage went missing. Nor has one a cost
        that told a count which is none.
        """
        cost = self._own_cost(model, usage)
        for name, apart in usage.apart:
            more = self._own_cost(name or model, apart)
            cost = None if cost is None or more is None else cost + more
        return cost

    def _own_cost(self, model: str, usage: Usage) -> int | None:
        price = self.find(model)
        if price is None or not usage.certain:
            return None
        read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        rates = price.rates_at(read, usage.raw.get("speed"))
        where = usage.raw.get("inference_geo")
        percent = price.us_percent if where == "us" else _WHOLE if where in _ANYWHERE else None
        searches = _searched(price, usage.web_search_requests)
        if rates is None or percent is None or searches is None:
            return None
        return _rounded_up(rates.of(usage) * percent + searches)

    def worst_case(
        self, model: str, input_tokens: int, max_tokens: int, terms: Terms = DEAREST
    ) -> int | None:
        """Return the most that a call can cost, in nano-US-dollars, None for not known.

        `input_tokens` is the most that it can have. What a tool that the upstream runs brings in
        is not in it: nobody knows that before.
        """
        price = self.find(model)
        if price is None or (terms.fast and price.fast is None):
            return None
        rates = [price.rates, *[tier.rates for tier in price.tiers if input_tokens > tier.above]]
        if terms.fast and price.fast is not None:
            rates.append(price.fast)
        most = max(
            [r.most(input_tokens, max_tokens, writes_cache=terms.writes_cache) for r in rates]
        )
        percent = _WHOLE if terms.anywhere else max(_WHOLE, price.us_percent)
        searches = _searched(price, terms.searches)
        return None if searches is None else _rounded_up(most * percent + searches)

    def __repr__(self) -> str:
        return f"<Prices {self.version}, {len(self._listed)} listed, {len(self._own)} configured>"


def _begins(name: str, known: str) -> bool:
    return known.endswith("*") and name.startswith(known[:-1])


def _searched(price: Price, searches: int) -> int | None:
    """Return what searches cost, in the unit that `_rounded_up` takes."""
    if not searches:
        return 0
    if price.web_search is None:
        return None
    return searches * price.web_search * (_TOKENS // _SEARCHES) * _WHOLE


def _rounded_up(parts: int) -> int:
    """Return nano-US-dollars from hundred-millionths of one."""
    return -(-parts // (_TOKENS * _WHOLE))
