"""The worst case of a call: what it asks for decides at which prices."""

from dataclasses import replace

import pytest

from sidecard.core.call import Call
from sidecard.core.event import Usage
from sidecard.policy.estimator import Estimator
from sidecard.policy.pricing import Price, Prices, Rates, Terms
from sidecard.policy.worst_case import terms, worst_case, worst_of_cut
from tests.support.script import a_call

MARKED = {"type": "ephemeral", "ttl": "1h"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
PRICES = Prices({"m": Price(Rates(1_000_000, 10_000_000, 1, 2_000_000, 3_000_000), us_percent=110)})


def asking(**parameters: object) -> Call:
    return a_call(parameters={"max_tokens": 100, **parameters})


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (asking(), Terms(writes_cache=False)),
        (asking(cache_control=MARKED), Terms(writes_cache=True)),
        (asking(tools=[{"name": "t", "cache_control": MARKED}]), Terms(writes_cache=True)),
        (
            asking(system=[{"type": "text", "text": "a", "cache_control": MARKED}]),
            Terms(writes_cache=True),
        ),
        (asking(speed="fast"), Terms(writes_cache=False, fast=True)),
        (asking(inference_geo="global"), Terms(writes_cache=False, anywhere=True)),
        (asking(inference_geo="us"), Terms(writes_cache=False)),
        (asking(tools=[SEARCH]), Terms(writes_cache=False, searches=10)),
        (
            asking(tools=[{**SEARCH, "max_uses": 3}, {**SEARCH, "max_uses": "x"}]),
            Terms(writes_cache=False, searches=13),
        ),
        (
            asking(tools=[{**SEARCH, "max_uses": 10**4000}, {**SEARCH, "max_uses": 1e300}]),
            Terms(writes_cache=False, searches=2_000_000),
        ),
        (asking(tools=None), Terms(writes_cache=False)),
        (asking(tools=["t", SEARCH]), Terms(writes_cache=False, searches=10)),
    ],
)
def test_what_a_call_asks_for_is_known(call: Call, expected: Terms) -> None:
    """Caching anywhere in the question, speed, place and searches are seen, whatever is sent."""
    assert terms(call, Estimator()) == expected


def test_it_is_tokens_times_prices() -> None:
    """Its upper estimate at the dearest price of input, all of max_tokens, and the US share."""
    estimator, call, cached = Estimator(), asking(), asking(cache_control=MARKED)
    tokens = estimator.upper(call, "m")
    plain = worst_case(call, "m", prices=PRICES, estimator=estimator)
    assert plain == -(-(tokens * 1 + 100 * 10) * 110 // 100)
    dearer = worst_case(cached, "m", prices=PRICES, estimator=estimator)
    assert dearer == -(-(tokens * 3 + 100 * 10) * 110 // 100)


def test_without_a_price_there_is_none() -> None:
    """What can't be bounded isn't made up."""
    assert worst_case(asking(), "x", prices=PRICES, estimator=Estimator()) is None


@pytest.mark.parametrize(
    ("call", "usage", "written"),
    [
        (asking(), Usage(7, 3), 100),
        (asking(tools=[{"name": "t"}, {"type": "custom"}]), Usage(7, 3, 5, 6, 2), 100),
        (asking(tools=None), Usage(7, 3), 100),
        (asking(), Usage(7, 300), 300),
        (asking(tools=[SEARCH]), Usage(7, 3), None),
        (asking(mcp_servers=[{}]), Usage(7, 3), None),
        (asking(of_tomorrow=1), Usage(7, 3), None),
        (asking(), Usage(7, 3, apart=(("", Usage(1)),)), None),
        (asking(), Usage(0, 3), None),
        (asking(), Usage(7, 3, odd=True), None),
    ],
)
def test_of_what_broke_off_the_input_is_known(
    call: Call, usage: Usage, written: int | None
) -> None:
    """All of its output may have been written; and where a tool may have read more, nothing is."""
    expected = None if written is None else replace(usage, output_tokens=written)
    assert worst_of_cut(call, usage) == expected
