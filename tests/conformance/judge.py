"""What a report has to hold: a pattern of JSON, in which less may be said than there is.

A mapping names the keys that count, a list has its length, anything else is equal.
A mapping of one key with a `$` is a condition:

| Condition | Holds for |
|---|---|
| `{$matches: regex}` | a text in which it is found |
| `{$once: text}` | a text in which it is found once |
| `{$json: pattern}` | a text that is JSON for which the pattern holds |
| `{$contains: pattern}` | a list that has such a member |
| `{$longer: n}` | a text or a list of more than n members |
| `{$at_least: n}`, `{$between: [low, high]}` | a number, also one in quotes, as int64 is in JSON |
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

_CONDITIONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$matches": lambda regex, value: bool(re.search(regex, value, re.DOTALL)),
    "$once": lambda text, value: value.count(text) == 1,
    "$json": lambda pattern, value: not mismatches(pattern, json.loads(value)),
    "$contains": lambda pattern, value: any(not mismatches(pattern, v) for v in value),
    "$longer": lambda length, value: len(value) > length,
    "$at_least": lambda least, value: float(value) >= least,
    "$between": lambda bounds, value: bounds[0] <= float(value) <= bounds[1],
}
_SHOWN: Final = 200


def mismatches(pattern: Any, value: Any, path: str = "") -> list[str]:
    """Return what doesn't fit, each with its path; nothing if all does."""
    return list(_compared(pattern, value, path))


def _compared(pattern: Any, value: Any, path: str) -> Iterator[str]:
    condition = _condition(pattern)
    if condition is not None:
        if not _holds(condition, pattern[condition], value):
            yield f"{path}: {_short(pattern)} doesn't hold for {_short(value)}"
    elif isinstance(pattern, dict) and isinstance(value, dict):
        for key, expected in pattern.items():
            yield from _compared(expected, value.get(key), f"{path}.{key}")
    elif isinstance(pattern, list) and isinstance(value, list) and len(pattern) == len(value):
        for i, expected in enumerate(pattern):
            yield from _compared(expected, value[i], f"{path}.{i}")
    elif not _equal(pattern, value):
        yield f"{path}: expected {_short(pattern)}, got {_short(value)}"


def _equal(pattern: Any, value: Any) -> bool:
    if pattern in (0, False, "") and value is None:
        return True  # The contract's JSON leaves out what is zero.
    numbers = isinstance(pattern, int | float) and isinstance(value, str)
    return bool(str(pattern) == value if numbers else pattern == value)


def _condition(pattern: Any) -> str | None:
    if isinstance(pattern, dict) and len(pattern) == 1:
        name = str(next(iter(pattern)))
        if name.startswith("$"):
            if name not in _CONDITIONS:
                raise ValueError(f"no condition is called {name}")
            return name
    return None


def _holds(condition: str, argument: Any, value: Any) -> bool:
    try:
        return _CONDITIONS[condition](argument, value)
    except (TypeError, ValueError, AttributeError):
        return False


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
