"""The most that one attempt of a call can cost, by its estimate and its target's price.

Of one that broke off less is known to have been possible: a stream tells at its beginning what its
input was. Its output isn't known, as the upstream may have written, and billed, all of it.

What isn't in it: the input that a tool brings in which the upstream runs, as nobody knows that
before. Its searches are, as many as it may make.
"""

from dataclasses import replace
from typing import Final

from sidecard.core.call import Call
from sidecard.core.event import Usage
from sidecard.core.jsonio import JsonObject
from sidecard.policy.estimator import Estimator
from sidecard.policy.pricing import Prices, Terms

_SEARCHES: Final = 10
"""How often a tool is assumed to search that may do so as often as it likes:
the upstream pauses its loop after so many rounds."""

_MOST_SEARCHES: Final = 10**6
"""No request searches so often, whatever it allows: a larger number would have a cost of more
digits than can be written down."""

_PLAIN: Final = frozenset(
    {
        *("max_tokens", "system", "tools", "tool_choice", "thinking", "output_config", "metadata"),
        *("temperature", "top_p", "top_k", "stop_sequences", "cache_control"),
        *("speed", "inference_geo", "service_tier"),
    }
)
"""Parameters with which a request reads no more than what it is sent."""


def worst_of_cut(call: Call, usage: Usage) -> Usage | None:
    """Return the most that an attempt used which told `usage` and broke off; None for not known."""
    parameters = call.parameters
    if not usage.certain or usage.apart or not parameters.keys() <= _PLAIN:
        return None
    if any(tool.get("type") not in (None, "custom") for tool in _tools(call)):
        return None
    written = max(usage.output_tokens, parameters["max_tokens"])
    return replace(usage, output_tokens=written)


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
        searches=sum([_searches(tool) for tool in _tools(call)]),
    )


def _tools(call: Call) -> list[JsonObject]:
    """Return its tools, of which there may be null; what is none is for the upstream to refuse."""
    tools = call.parameters.get("tools")
    return [t for t in tools if isinstance(t, dict)] if isinstance(tools, list) else []


def _searches(tool: JsonObject) -> int:
    if not str(tool.get("type")).startswith("web_search"):
        return 0
    most = tool.get("max_uses")
    if not isinstance(most, int | float) or most <= 0:
        return _SEARCHES
    return int(min(most, _MOST_SEARCHES))
