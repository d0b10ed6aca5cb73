"""JSON as Structs and as text: what a Struct can't hold, and what has to be refused.

A Struct's numbers are doubles, and readers refuse messages nested deeper than 100,
of which an object in a Struct takes three: Struct, its map's entry, Value.
What doesn't fit travels as JSON text instead.
"""

from math import isfinite
from typing import Final

from google.protobuf.struct_pb2 import Struct, Value

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.server.wire.violations import Violations, shown

STRUCT_DEPTH: Final = 24
"""Levels that go into a Struct, with what is around it in an answer: 31 is what readers take."""

_EXACT: Final = 2**53


def struct_to_json(struct: Struct, path: str, found: Violations) -> dict[str, JsonValue] | None:
    """Return the object that a Struct holds, whole numbers as ints.

    None when there are values in it that JSON doesn't have, which are noted.
    """
    try:
        return {key: _to_json(value) for key, value in struct.fields.items()}
    except ValueError:
        _note_faults(struct, path, found)
        return None


def _to_json(value: Value) -> JsonValue:  # noqa: PLR0911  # one for each kind of value
    if text := value.string_value:
        return text
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        if number.is_integer():
            return int(number) if -_EXACT <= number <= _EXACT else number
        if isfinite(number):
            return number
        raise ValueError
    if kind == "struct_value":
        return {key: _to_json(inner) for key, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_to_json(inner) for inner in value.list_value.values]
    if kind == "bool_value":
        return value.bool_value
    if kind is None:
        raise ValueError
    return None if kind == "null_value" else ""


def _note_faults(struct: Struct, path: str, found: Violations) -> None:
    for key, value in struct.fields.items():
        _note_fault(value, f"{path}.{shown(key, quote='')}", found)


def _note_fault(value: Value, path: str, found: Violations) -> None:
    kind = value.WhichOneof("kind")
    if kind is None:
        found.add(path, "holds no value; null is the null_value")
    elif kind == "number_value" and not isfinite(value.number_value):
        found.add(path, f"is {value.number_value}, which JSON doesn't have; send a finite number")
    elif kind == "struct_value":
        _note_faults(value.struct_value, path, found)
    elif kind == "list_value":
        for index, inner in enumerate(value.list_value.values):
            _note_fault(inner, f"{path}[{index}]", found)


def text_to_json(text: str, path: str, found: Violations) -> dict[str, JsonValue] | None:
    """Return the object that `text` is; None, noted, when it is none."""
    try:
        value = jsonio.loads(text)
    except ValueError:
        rule = "one JSON object, valid Unicode, nested at most 200 levels deep"
        found.add(path, f"holds {len(text):,} characters that aren't JSON; it has to be {rule}")
        return None
    if not isinstance(value, dict):
        found.add(path, "is JSON, but no object; it has to be one object")
        return None
    return value


def fits_struct(value: JsonValue, depth: int = STRUCT_DEPTH) -> bool:
    """Whether a Struct holds `value` unchanged, within `depth` levels."""
    kind = type(value)
    if kind is int:
        return -_EXACT <= value <= _EXACT  # type: ignore[no-any-return]
    if kind is dict:
        return depth > 0 and all(fits_struct(inner, depth - 1) for inner in value.values())
    if kind is list:
        return depth > 0 and all(fits_struct(inner, depth - 1) for inner in value)
    return True


def fitting(value: JsonObject) -> dict[str, JsonValue]:
    """Return `value` for a Struct; a field that doesn't fit one becomes its JSON text."""
    return {key: v if fits_struct(v) else jsonio.dumps(v) for key, v in value.items()}
