"""What can be configured of prices, as in `schema`: US dollars, as decimal numbers, exactly."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, Literal, TypeAlias

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, Field, Strict

from sidecard.config.kinds import MAX_TOKENS, Expect, Section, told

NANO: Final = 10**9
_MOST: Final = 1_000_000
_EXPECTED: Final = (
    f"expected US dollars from 0 to {_MOST}, as a decimal number of at most nine places"
)


def _dollars(value: object) -> Decimal:
    """Return an exact amount; a float is what its shortest decimal says, which is what it was."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise told(_EXPECTED)
    try:
        amount = Decimal(str(value).strip())
        if not 0 <= amount <= _MOST or amount * NANO % 1:
            raise told(_EXPECTED)
    except InvalidOperation:
        raise told(_EXPECTED) from None
    return amount


def _in_order(tiers: "tuple[TierPrice, ...]") -> "tuple[TierPrice, ...]":
    bounds = [tier.above for tier in tiers]
    if bounds != sorted(set(bounds)):
        raise told("expected each tier's `above` to be larger than that of the one before it")
    return tiers


Dollars: TypeAlias = Annotated[Decimal, BeforeValidator(_dollars)]
ModelPattern: TypeAlias = Annotated[
    str,
    Strict(),
    Field(pattern=r"^[!-~]{1,256}$"),
    Expect("a model's id, or a pattern of them, as claude-*"),
]


class TokenPrices(Section):
    """US dollars for a million tokens."""

    input: Dollars = Field(description="Tokens of input that no prompt cache of the upstream had.")
    output: Dollars = Field(description="Tokens of output, thinking included.")
    cache_read: Dollars | None = Field(
        None,
        description="Tokens of input read from the upstream's prompt cache. null: as `input`, "
        "so that no cost is counted too low.",
    )
    cache_write_5m: Dollars | None = Field(
        None,
        description="Tokens of input written to the prompt cache for five minutes. "
        "null: 1.25 times `input`, as with Anthropic.",
    )
    cache_write_1h: Dollars | None = Field(
        None,
        description="Tokens of input written to the prompt cache for an hour. "
        "null: twice `input`, as with Anthropic.",
    )


class TierPrice(TokenPrices):
    """Prices of all tokens of a request with much input."""

    above: Annotated[
        int,
        Strict(),
        Ge(0),
        Le(MAX_TOKENS),
        Expect(f"a whole number of tokens from 0 to {MAX_TOKENS}"),
    ] = Field(description="Tokens of input, cached ones too, above which these prices hold.")


class ModelPrice(TokenPrices):
    """What a model costs, in US dollars for a million tokens; it replaces all that was known.

    Numbers may be written as texts, `"0.30"`; either way they are taken as the decimals they are.
    """

    web_search: Dollars | None = Field(
        None,
        description="US dollars for a thousand web searches that the upstream runs. null: that "
        "isn't known, and so neither is the cost of an answer that took some.",
    )
    tiers: Annotated[tuple[TierPrice, ...], AfterValidator(_in_order)] = Field(
        (),
        description="Prices, as those here, that hold instead where the input is larger than "
        "`above` tokens: for all tokens of that request.",
    )
    fast: TokenPrices | None = Field(
        None,
        description="Prices, as those here, of an answer at `speed` fast. null: they aren't known.",
    )
    us_percent: Annotated[
        int, Strict(), Ge(100), Le(1000), Expect("a whole number of percent from 100 to 1000")
    ] = Field(
        100,
        description="What tokens cost with `inference_geo` us, in percent of the prices here.",
    )


class PriceList(Section):
    """What calls cost: from a list that comes with the daemon, or as set here.

    The list has the prices of Anthropic's own API; no other `upstream.sdk_client` takes it, so that
    theirs have to be set.
    What a simulated answer would have cost is counted in the same way.
    """

    unknown: Literal["auto", "refuse", "allow"] = Field(
        "refuse",
        description="What becomes of a call to a model whose price isn't known, as one that is "
        "newer than this version. `refuse`: it is refused, and such a target of a route is a "
        "mistake; set its price in `models`. `auto`: it is made, and its cost told as unknown, "
        "unless a limit in dollars would have to count it. `allow`: no such limit counts it.",
    )
    models: Mapping[ModelPattern, ModelPrice] = Field(
        {},
        description="Prices by model, or by pattern (`*`, `?`, `[…]`): an exact name goes first, "
        "then the patterns in their order, then the list.",
    )
