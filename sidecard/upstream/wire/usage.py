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

_MOST: Final = 10**8
"""No request has so many: a hundred times the largest context. One that says so would empty every
budget, and its cost might be beyond an int64."""

_MOST_SEARCHES: Final = 10**6
_ODD: Final = -1


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
    read = _count(raw, "input_tokens")
    written = _count(raw, "output_tokens") if "output_tokens" in raw else _ODD
    cached = _count(raw, "cache_read_input_tokens")
    write = _count(raw, "cache_creation_input_tokens")
    write_1h = _count(cache, "ephemeral_1h_input_tokens") if cache else 0
    write_5m = _count(cache, "ephemeral_5m_input_tokens") if cache else 0
    searches = _count(tools, "web_search_requests", _MOST_SEARCHES) if tools else 0
    apart = tuple(_apart(raw)) if raw.get("iterations") else ()
    return Usage(
        input_tokens=max(read, 0),
        output_tokens=max(written, 0),
        cache_read_tokens=max(cached, 0),
        cache_write_tokens=max(write, 0, write_1h + write_5m),
        cache_write_1h_tokens=max(write_1h, 0),
        web_search_requests=max(searches, 0),
        raw=raw,
        apart=apart,
        odd=min(read, written, cached, write, write_1h, write_5m, searches) < 0
        or any(each.odd for _, each in apart),
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


def _count(raw: Any, key: str, most: int = _MOST) -> int:  # noqa: ANN401  # whatever was sent
    """Return a count, 0 for none, and `_ODD` for what can't be one.

    A fraction is rounded up, so that nothing is had for less than it cost.
    """
    value = raw.get(key) if isinstance(raw, dict) else None
    if value is None:
        return 0
    if type(value) is not int and type(value) is not float:
        return _ODD
    return ceil(value) if 0 <= value <= most else _ODD
