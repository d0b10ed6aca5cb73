"""Token counts as the upstream writes them, made safe to add up."""

from collections.abc import Iterator
from math import ceil
from typing import Any, Final

from sidecard.core.event import Usage
from sidecard.core.jsonio import JsonObject, JsonValue

UNKNOWN: Final = "?"
"""No model's name: whose usage it is, and whether it is billed, this version can't tell."""

_SHARED: Final = ("inference_geo", "speed")
"""What a whole usage object says of its steps, too."""

_MOST: Final = 2**53
"""No count is larger: what JSON keeps exactly, and sums of a few stay within an int64."""


def merged(before: JsonObject, update: JsonValue) -> JsonObject:
    """Return the usage after a `message_delta`: its counts are totals, and null means no news."""
    if not isinstance(update, dict):
        return before
    return {**before, **{key: value for key, value in update.items() if value is not None}}


def usage_of(raw: JsonValue) -> Usage:
    """Return the counts of a usage object; what is missing or no count is 0, never an error."""
    if not isinstance(raw, dict):
        return Usage()
    cache = raw.get("cache_creation")
    tools = raw.get("server_tool_use")
    write_1h = _count(cache, "ephemeral_1h_input_tokens") if cache else 0
    write_5m = _count(cache, "ephemeral_5m_input_tokens") if cache else 0
    return Usage(
        input_tokens=_count(raw, "input_tokens"),
        output_tokens=_count(raw, "output_tokens"),
        cache_read_tokens=_count(raw, "cache_read_input_tokens"),
        cache_write_tokens=max(_count(raw, "cache_creation_input_tokens"), write_1h + write_5m),
        cache_write_1h_tokens=write_1h,
        web_search_requests=_count(tools, "web_search_requests") if tools else 0,
        raw=raw,
        apart=tuple(_apart(raw)) if raw.get("iterations") else (),
    )


def _apart(raw: JsonObject) -> Iterator[tuple[str, Usage]]:
    """Yield what the totals leave out, of the steps that a request took (anthropic/types/beta).

    A step of sampling is in the totals; one of compaction is not, nor one of an advisor,
    which is another model's. What any other kind costs isn't known.
    """
    steps = raw["iterations"]
    for step in steps if isinstance(steps, list) else [steps]:
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "message":
            continue
        shared = _SHARED if kind == "compaction" else _SHARED[:1]
        own = {key: raw[key] for key in shared if key in raw}
        usage = usage_of({**own, **{k: step[k] for k in step if k != "iterations"}} if kind else {})
        model = step.get("model") if kind == "advisor_message" else None
        if kind == "compaction":
            yield "", usage
        else:
            yield model if isinstance(model, str) and model else UNKNOWN, usage


def _count(raw: Any, key: str) -> int:  # noqa: ANN401  # whatever the upstream sent
    """Return a count; a fraction is rounded up, so that nothing is had for less than it cost."""
    value = raw.get(key) if isinstance(raw, dict) else None
    if type(value) is not int and type(value) is not float:
        return 0
    return ceil(min(max(value, 0), _MOST))
