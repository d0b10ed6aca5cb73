"""Values of `hypothesis-jsonschema`, for more of JSON Schema than `test_any_schema` makes up.

It knows drafts up to 7: what is here means the same in 2020-12.
"""

import json
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema
from jsonschema_rs import Draft202012Validator

from sidecard.policy.jsontext import canonical
from tests.schema.test_any_schema import FRAMES, judged

_ORDER: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{1,4}$"},
        "state": {"enum": ["open", "paid", None]},
        "total": {"type": "number", "minimum": 0, "multipleOf": 0.5},
        "lines": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "sku": {"type": "string", "minLength": 1, "maxLength": 8},
                    "count": {"type": "integer", "exclusiveMinimum": 0, "maximum": 99},
                },
                "required": ["sku", "count"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["id", "state", "lines"],
}
SCHEMAS: Final[dict[str, Any]] = {
    "order": _ORDER,
    "unique": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 2},
    "contains": {"type": "array", "contains": {"const": "x"}, "maxItems": 4},
    "sizes": {"type": "object", "minProperties": 1, "maxProperties": 3},
    "names": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]+$"},
        "additionalProperties": {"type": "integer"},
    },
    "patterns": {
        "type": "object",
        "patternProperties": {"^n": {"type": "number"}, "^t": {"type": "string"}},
        "additionalProperties": False,
    },
    "all": {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 30}, {"multipleOf": 3}]},
    "one": {"oneOf": [{"type": "integer"}, {"type": "number", "multipleOf": 0.25}]},
    "not": {"type": "string", "not": {"enum": ["", "HACKED"]}},
    "if": {
        "type": "object",
        "properties": {"kind": {"enum": ["card", "cash"]}, "number": {"type": "string"}},
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": "card"}}},
        "then": {"required": ["number"]},
    },
    "nested": {"type": "array", "items": {"type": "array", "items": {"type": ["null", "boolean"]}}},
    "referred": {
        "definitions": {"point": {"type": "object", "required": ["x"], "properties": {
            "x": {"type": "number"}, "y": {"type": "number"},
        }}},
        "type": "array",
        "items": {"$ref": "#/definitions/point"},
    },
}  # fmt: skip

slowly = settings(
    max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@pytest.mark.parametrize("name", SCHEMAS)
@slowly
@given(st.data())
def test_what_satisfies_comes_through(name: str, data: st.DataObject) -> None:
    """Whatever is around it, and with the value that it had."""
    value, frame = data.draw(from_schema(SCHEMAS[name])), data.draw(FRAMES)
    text = json.dumps(value)
    assume(Draft202012Validator(SCHEMAS[name]).is_valid(json.loads(text, parse_float=Decimal)))
    assume(isinstance(value, dict | list) or frame != "```\n%s\n```")
    told = judged(SCHEMAS[name], frame % text)
    assert told["valid"], told
    assert told["output_json"] == canonical(text)


@pytest.mark.parametrize("name", SCHEMAS)
@slowly
@given(st.data())
def test_what_does_not_satisfy_never_does(name: str, data: st.DataObject) -> None:
    """Values of another schema, or of this one with a part changed: no repair makes them fit."""
    other = data.draw(st.sampled_from(sorted(SCHEMAS)))
    value = data.draw(from_schema(SCHEMAS[other]))
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        value[data.draw(st.sampled_from(sorted(value)))] = data.draw(
            st.none() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({})
        )
    text = json.dumps(value)
    fits = Draft202012Validator(SCHEMAS[name]).is_valid(json.loads(text, parse_float=Decimal))
    assume(not fits)
    told = judged(SCHEMAS[name], data.draw(FRAMES) % text)
    assert not told["valid"]
    assert told["violations"]
