"""Native: a schema in the form that the Messages API takes as `output_config.format`, if it can.

The API takes a part of JSON Schema
(https://platform.claude.com/docs/en/build-with-claude/structured-outputs): closed objects,
lists, enums, constants, `anyOf` and references that don't recur. Bounds of numbers and texts
are told to the model in the description, as the `anthropic` package does
(`anthropic/lib/_parse/_transform.py`), and checked here when the answer has come.
What would let in less than the schema does, as an open object does closed, isn't sent so:
then the schema is in the prompt.
"""

from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject, JsonValue

_SCALARS: Final = frozenset({"string", "integer", "number", "boolean", "null"})
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_BOUNDS: Final = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems"),
    }
)
_KEPT: Final = frozenset({"title", "default"})
_IGNORED: Final = frozenset({"$schema", "$comment", "$id", "examples", "deprecated", "readOnly"})
_DEFINED: Final = ("$defs", "definitions")


class _CantBe(Exception):
    """The API's part of JSON Schema has no words for this."""


def native(schema: JsonObject) -> JsonObject | None:
    """Return the schema as the API takes it; None where it can't be said so.

    Nor can what is no schema at all.
    Takes time in proportion to its length: what is referred to is looked at once.
    """
    links: dict[str, set[str]] = {}
    try:
        narrow = _narrow(schema, links.setdefault("#", set()))
        for where in _DEFINED:
            if where in schema:
                narrow[where] = {
                    name: _narrow(inner, links.setdefault(f"#/{where}/{name}", set()))
                    for name, inner in schema[where].items()
                }
        if any(not links.keys() >= to for to in links.values()):
            return None
        TopologicalSorter(links).prepare()
    except (_CantBe, CycleError, AttributeError, TypeError, ValueError, RecursionError):
        return None
    return narrow


def _narrow(schema: JsonValue, refs: set[str]) -> dict[str, Any]:
    """Return one schema, having added to `refs` what it refers to."""
    if not isinstance(schema, dict):
        raise _CantBe
    left = {k: v for k, v in schema.items() if k not in _IGNORED and k not in _DEFINED}
    told = left.pop("description", "")
    out: dict[str, Any] = {key: left.pop(key) for key in _KEPT & left.keys()}
    if "$ref" in left:
        name = left.pop("$ref")
        if left:
            raise _CantBe
        refs.add(name)
        return {"$ref": name}
    bounds = {key: left.pop(key) for key in sorted(_BOUNDS & left.keys())}
    if bounds.get("format") in _FORMATS:
        out["format"] = bounds.pop("format")
    out |= _shape(left, refs)
    if left:
        raise _CantBe
    if bounds:
        told = f"{told}\n\n{jsonio.dumps(bounds)}".strip()
    return {**out, "description": told} if told else out


def _shape(left: dict[str, Any], refs: set[str]) -> dict[str, Any]:
    """Take what says which values there are, and return it."""
    kind = left.pop("type", None)
    for key in ("enum", "const"):
        if key in left:
            value = left.pop(key)
            listed = value if key == "enum" else [value]
            if not listed or any(isinstance(one, dict | list) for one in listed):
                raise _CantBe
            return {key: value}
    for key in ("anyOf", "oneOf"):
        if key in left and kind is None:
            return {"anyOf": [_narrow(one, refs) for one in left.pop(key)]}
    if kind == "object":
        return _closed(left, refs)
    if kind == "array" and "items" in left:
        return {"type": kind, "items": _narrow(left.pop("items"), refs)}
    if kind in _SCALARS if isinstance(kind, str) else False:
        return {"type": kind}
    if isinstance(kind, list) and kind and _SCALARS.issuperset(kind):
        return {"anyOf": [{"type": one} for one in kind]}
    raise _CantBe


def _closed(left: dict[str, Any], refs: set[str]) -> dict[str, Any]:
    """Return an object whose names are all known; what else it might have is of no use."""
    properties, required = left.pop("properties", None), left.pop("required", [])
    if left.pop("additionalProperties", False) is not False or not properties:
        raise _CantBe
    if not properties.keys() >= set(required):
        raise _CantBe
    inner = {name: _narrow(one, refs) for name, one in properties.items()}
    closed = {"type": "object", "properties": inner, "additionalProperties": False}
    return {**closed, "required": required} if required else closed
