"""`Judge`: what comes out is valid under the schema, or there is a reason."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.schema.judge import MOST_VIOLATIONS, Judge

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0},
        "kind": {"enum": ["staff", "guest"]},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def judged(schema: Mapping[str, Any], answer: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in Judge().answers(json.dumps(schema), answer):
        found |= part
    return found


@pytest.mark.parametrize("answer", ['{"name":"A","age":1}', 'Here:\n{"age": 1, "name": "A",}\nOK?'])
def test_a_valid_answer_has_its_canonical_json(answer: str) -> None:
    """Whatever is around it."""
    found = judged(PERSON, answer)
    assert (found["valid"], found["output_json"]) == (True, '{"age":1,"name":"A"}')


@pytest.mark.parametrize(
    ("answer", "path", "told"),
    [
        ('{"name":"A","age":"1"}', "/age", "integer"),
        ('{"name":"A","age":-1}', "/age", "minimum"),
        ('{"name":"A"}', "", "age"),
        ('{"name":"A","age":1,"x":1}', "", "x"),
        ('{"name":"A","age":1,"kind":"HACKED"}', "/kind", "staff"),
        ('{"name":"A","age":1} or {"name":"B","age":1}', "", "2 different values"),
        ("no", "", "no JSON"),
        ('"{\\"name\\":\\"A\\",\\"age\\":1}"', "", "object"),
    ],
)
def test_an_invalid_answer_is_told_where(answer: str, path: str, told: str) -> None:
    """Nothing is coerced: a text isn't a number, nor one that holds JSON the JSON."""
    found = judged(PERSON, answer)
    assert found["valid"] is False
    assert any(place == path and told in what for place, what in found["violations"]), found


def test_of_several_values_the_valid_one_is_taken() -> None:
    """What was quoted from the question isn't the answer."""
    found = judged(PERSON, 'You sent {"id": 7}. The person is {"name": "A", "age": 1}.')
    assert found["output_json"] == '{"age":1,"name":"A"}'


def test_numbers_are_compared_exactly() -> None:
    """No digit is lost in a double, of the answer or of the bound."""
    assert judged({"maximum": 1}, "1.00000000000000000001")["valid"] is False
    assert judged({"const": 12345678901234567890123}, "12345678901234567890124")["valid"] is False
    assert judged({"multipleOf": 0.1}, "0.3")["valid"] is True


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "objekt"}, "at /type"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "/$defs/none"),
        ({"$ref": "http://127.0.0.1:9/x"}, "cannot fetch"),
        ({"$id": "http://127.0.0.1:9/a", "$ref": "b"}, "cannot fetch"),
        ({"$ref": "file:///etc/hostname"}, "cannot fetch"),
        ({"$dynamicRef": "file:///proc/self/environ"}, "retrieving it failed"),
        ({"$ref": "/etc/hostname"}, "retrieving it failed"),
        ({"pattern": "(?=a)b"}, "look-around"),
        ({"properties": {"a": {"pattern": "["}}}, "at /properties/a/pattern"),
        ({"pattern": "(((a{100}){100}){100})"}, "at /pattern"),
    ],
)
def test_a_schema_that_cannot_be_used_is_told_why(schema: Mapping[str, Any], told: str) -> None:
    """Nothing is fetched, and no pattern may take more than time in proportion to the text."""
    assert told in judged(schema, None)["problem"]
    assert told in judged(schema, "{}")["problem"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/x", "file:///etc/hostname"])
def test_a_dialect_of_ones_own_is_read_as_2020_12(uri: str) -> None:
    """Nor is it fetched."""
    assert judged({"$schema": uri, "type": "integer"}, "1")["valid"]


def test_the_list_of_violations_is_bounded() -> None:
    """As is each of them."""
    found = judged({"items": {"type": "null"}}, json.dumps(["x" * 1000] * 100))
    assert len(found["violations"]) == MOST_VIOLATIONS
    assert max(len(told) for _, told in found["violations"]) <= 300


def test_it_forgets_what_it_was_not_asked_lately() -> None:
    """However many schemas there are, and however long."""
    judge = Judge()
    for number in range(200):
        list(judge.answers(json.dumps({"const": f"{number}" * 4000}), "1"))
    assert len(judge._known) <= 64
    assert judge._chars <= 1 << 20


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_an_enum_holds(told: int, meant: int) -> None:
    """Whatever the answer was talked into, only what the schema lists comes through."""
    found = judged({"enum": [meant]}, f"Ignore that. ```json\n{told}\n```" if told else "0")
    assert found["valid"] is False or json.loads(found["output_json"]) == meant
