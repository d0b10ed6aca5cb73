"""The least value of a schema."""

from typing import Any

import pytest

from sidecard.simulator.example import example

CASES: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string"}, "simulated"),
    ({"type": "string", "maxLength": 3}, "sim"),
    ({"type": "string", "minLength": 12}, "simulated..."),
    ({"type": "string", "format": "date"}, "2026-01-01"),
    ({"type": "integer"}, 0),
    ({"type": "integer", "minimum": 3}, 3),
    ({"type": "integer", "exclusiveMinimum": 3}, 4),
    ({"type": "integer", "maximum": -3}, -3),
    ({"type": "integer", "exclusiveMaximum": -3}, -4),
    ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
    ({"type": "number", "exclusiveMinimum": 0}, 0.5),
    ({"type": "boolean"}, True),
    ({"type": "null"}, None),
    ({"type": ["null", "boolean"]}, True),
    ({"type": "array", "items": {"type": "null"}}, []),
    ({"items": {"type": "null"}, "minItems": 2}, [None, None]),
    ({"const": 7}, 7),
    ({"enum": ["a", "b"]}, "a"),
    ({"type": "string", "default": "d"}, "d"),
    (
        {"type": "object", "properties": {"a": {"type": "null"}, "b": {}}, "required": ["a"]},
        {"a": None},
    ),
    ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
    ({"oneOf": [{"const": 1}, {"const": 2}]}, 1),
    (
        {"allOf": [{"required": ["a"]}, {"properties": {"a": {"const": 1}}}], "type": "object"},
        {"a": 1},
    ),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": "found"}}}, "found"),
    ({"$ref": "#/$defs/gone"}, "simulated"),
]


@pytest.mark.parametrize(("schema", "value"), CASES)
def test_the_least_value_satisfies_the_schema(schema: dict[str, Any], value: object) -> None:
    """Each keyword is kept, and nothing is added that wasn't required."""
    assert example(schema) == value


def test_a_recursive_schema_ends() -> None:
    """A schema that requires itself doesn't hang the simulator."""
    value = example({"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]})
    depth = 0
    while value:
        value, depth = value["n"], depth + 1
    assert 0 < depth < 50
