"""The least JSON value that satisfies a JSON schema: what the simulator fills in for a model."""

from typing import Final

from sidecard.core.jsonio import JsonObject, JsonValue

_MAX_DEPTH: Final = 24

_FORMATS: Final = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example(schema: JsonValue) -> JsonValue:
    """Return a value that satisfies `schema`, only what is required in it.

    Knows const, enum, default, type, properties, items, sizes, bounds, the usual formats,
    local `$ref`, anyOf, oneOf (the first branch of either) and allOf; not `pattern` and `not`.
    Deeper than 24 levels, a recursive schema yields null.
    """
    return _Filler(schema if isinstance(schema, dict) else {}).fill(schema, 0)


class _Filler:
    def __init__(self, root: JsonObject) -> None:
        self._root = root

    def fill(self, schema: JsonValue, depth: int) -> JsonValue:
        if depth > _MAX_DEPTH:
            return None
        if not isinstance(schema, dict):
            return {}
        schema = self._branch(self._resolve(schema, depth), depth)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        return schema["enum"][0] if schema.get("enum") else self._typed(schema, depth)

    def _typed(self, schema: JsonObject, depth: int) -> JsonValue:
        value: JsonValue = None
        match _type(schema):
            case "object":
                value = self._object(schema, depth)
            case "array":
                items = schema.get("items", {})
                value = [self.fill(items, depth + 1) for _ in range(schema.get("minItems", 0))]
            case "string":
                value = _string(schema)
            case "integer":
                value = int(_number(schema, step=1))
            case "number":
                value = _number(schema, step=0.5)
            case "boolean":
                value = True
        return value

    def _branch(self, schema: dict[str, JsonValue], depth: int) -> dict[str, JsonValue]:
        """Return `schema` with the first branch of its anyOf or oneOf merged in."""
        for key in ("anyOf", "oneOf"):
            branches = schema.pop(key, None)
            if branches and isinstance(branches[0], dict):
                schema = {**schema, **self._resolve(branches[0], depth + 1)}
        return schema

    def _object(self, schema: JsonObject, depth: int) -> dict[str, JsonValue]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        return {name: self.fill(properties.get(name, {}), depth + 1) for name in required}

    def _resolve(self, schema: JsonObject, depth: int) -> dict[str, JsonValue]:
        """Return `schema` with its `$ref` and `allOf` merged in."""
        merged: dict[str, JsonValue] = {
            k: v for k, v in schema.items() if k not in {"$ref", "allOf"}
        }
        parts: list[JsonObject] = [
            part for part in schema.get("allOf") or [] if isinstance(part, dict)
        ]
        if isinstance(schema.get("$ref"), str):
            parts.append(self._lookup(schema["$ref"]))
        if depth <= _MAX_DEPTH:
            for part in parts:
                resolved = self._resolve(part, depth + 1)
                for key, value in resolved.items():
                    merged[key] = _merge(merged.get(key), value)
        return merged

    def _lookup(self, ref: str) -> JsonObject:
        found: JsonValue = self._root
        for name in ref.removeprefix("#").split("/")[1:]:
            found = found.get(name.replace("~1", "/").replace("~0", "~"), {})
        return found if isinstance(found, dict) else {}


def _merge(ours: JsonValue, theirs: JsonValue) -> JsonValue:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {**theirs, **ours}
    if isinstance(ours, list) and isinstance(theirs, list):
        return ours + [item for item in theirs if item not in ours]
    return theirs if ours is None else ours


def _type(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "array" if "items" in schema else "object" if "properties" in schema else "string"


def _string(schema: JsonObject) -> str:
    text = _FORMATS.get(str(schema.get("format")), "simulated")
    text = text.ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]


def _number(schema: JsonObject, step: float) -> float:
    """Return 0, or the number nearest to it that the bounds and `multipleOf` allow."""
    step = schema.get("multipleOf") or step
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    value: float = 0
    if low is not None and value < low:
        value = -(-low // step) * step
    if above is not None and value <= above:
        value = (above // step + 1) * step
    if high is not None and value > high:
        value = high // step * step
    if below is not None and value >= below:
        value = (-(-below // step) - 1) * step
    return value
