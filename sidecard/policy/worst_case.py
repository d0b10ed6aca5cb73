"""The most that one attempt of a call can cost, by its estimate and its target's price.

What isn't in it: the input that a tool brings in which the upstream runs, as nobody knows that
before. Its searches are, as many as it may make.
"""

from typing import Final

from sidecard.core.call import Call
from sidecard.core.jsonio import JsonObject
from sidecard.policy.estimator import Estimator
from sidecard.policy.pricing import Prices, Terms

_SEARCHES: Final = 10
"""How often a tool is assumed to search that may do so as often as it likes:
the upstream pauses its loop after so many rounds."""


def worst_case(call: Call, model: str, *, prices: Prices, estimator: Estimator) -> int | None:
    """Return it in nano-US-dollars, None where it isn't known: without a price, there is none."""
    tokens = estimator.upper(call, model)
    return prices.worst_case(model, tokens, call.parameters["max_tokens"], terms(call, estimator))


def terms(call: Call, estimator: Estimator) -> Terms:
    """Return what of a call changes its price."""
    parameters = call.parameters
    return Terms(
        writes_cache=estimator.caches(call),
        fast=parameters.get("speed") == "fast",
        anywhere=parameters.get("inference_geo") == "global",
        searches=sum([_searches(tool) for tool in parameters.get("tools", ())]),
    )


def _searches(tool: JsonObject) -> int:
    if not str(tool.get("type")).startswith("web_search"):
        return 0
    most = tool.get("max_uses")
    return int(most) if isinstance(most, int | float) and most > 0 else _SEARCHES
