"""`native`: what the API is sent, and when the schema is in the prompt instead."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from sidecard.core.call import Call, Structured, Target
from sidecard.policy.native import native
from sidecard.policy.schema_form import parameters_of
from tests.support.script import a_call

CLOSED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
OPEN = {"type": "object", "additionalProperties": {"type": "integer"}}


def call(schema: dict[str, Any], form: Structured, **parameters: Any) -> Call:
    config = parameters.pop("output_config", {})
    output = {**config, "format": {"type": "json_schema", "schema": schema}}
    return a_call(
        target=Target("claude-test", structured=form),
        parameters={"max_tokens": 9, "output_config": output, **parameters},
        output_schema=schema,
    )


def test_without_a_schema_nothing_changes() -> None:
    """The parameters are the call's own, not a copy."""
    plain = a_call()
    assert parameters_of(plain) is plain.parameters


def test_what_the_api_can_say_goes_as_the_parameter() -> None:
    """Closed, as the API wants its objects; other fields of the parameter stay."""
    sent = parameters_of(call(CLOSED, Structured.AUTO, output_config={"effort": "low"}))
    assert sent["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {**CLOSED, "additionalProperties": False}},
    }
    assert "system" not in sent


@pytest.mark.parametrize(("schema", "form"), [(CLOSED, Structured.PROMPT), (OPEN, Structured.AUTO)])
def test_what_it_cannot_goes_into_the_prompt(schema: dict[str, Any], form: Structured) -> None:
    """Behind the caller's instructions, of either form."""
    sent = parameters_of(call(schema, form))
    assert "output_config" not in sent
    assert '"type":"object"' in sent["system"]
    assert parameters_of(call(schema, form, system="Be."))["system"].startswith("Be.\n\n")
    blocks = [{"type": "text", "text": "Be.", "cache_control": {"type": "ephemeral"}}]
    told = parameters_of(call(schema, form, system=blocks))["system"]
    assert told[:1] == blocks
    assert '"type":"object"' in told[1]["text"]
    kept = parameters_of(call(schema, form, output_config={"effort": "low"}))["output_config"]
    assert kept == {"effort": "low"}


def test_an_operator_who_wants_the_parameter_gets_it() -> None:
    """The schema as it is, where the API has no words for it."""
    sent = parameters_of(call(OPEN, Structured.NATIVE))
    assert sent["output_config"]["format"]["schema"] == OPEN


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["b"]},
        {"type": "array"},
        {"type": ["object", "null"]},
        {"enum": [{}]},
        {"enum": []},
        {"not": {"type": "null"}},
        {"type": "integer", "if": {"minimum": 1}, "then": {"maximum": 2}},
        {"allOf": [{"type": "integer"}]},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1/x"},
        {"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
    ],
)
def test_what_the_api_has_no_words_for_is_not_said(schema: dict[str, Any]) -> None:
    """Nor what would let in less than the schema does, or recurs."""
    assert native(schema) is None


def test_what_branches_is_looked_at_once() -> None:
    """Forty levels, each of which is referred to twice, are forty and not 2^40."""
    both = [[{"$ref": f"#/$defs/a{n + 1}"}] * 2 for n in range(40)]
    defs: dict[str, Any] = {f"a{n}": {"anyOf": pair} for n, pair in enumerate(both)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**defs, "a40": {"const": 1}}}
    assert native(schema) == schema


def test_bounds_are_told_to_the_model() -> None:
    """As the anthropic package does."""
    schema = {"type": "integer", "minimum": 1, "description": "How many."}
    assert native(schema) == {"type": "integer", "description": 'How many.\n\n{"minimum":1}'}


_LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer", "minimum": 0},
        {"enum": ["a", 1, None]},
        {"const": "a"},
        {"type": ["string", "null"]},
        {"$ref": "#/$defs/x"},
        {"type": "string", "format": "date", "title": "Day"},
    ]
)
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items, "minItems": 1}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some}),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(
            lambda p: {"type": "object", "properties": p, "required": sorted(p)[:1]}
        ),
    ),
    max_leaves=6,
)
_VALUES = st.recursive(
    st.sampled_from(["a", "b", 1, -1, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)


@given(_SCHEMAS, _VALUES)
def test_what_is_sent_lets_in_all_that_is_valid_and_closed(schema: Any, value: Any) -> None:
    """A valid answer without further keys is one that the API lets the model write."""
    whole = {**schema, "$defs": {"x": {"type": "string", "maxLength": 1}}}
    sent = native(whole)
    assert sent is not None
    if Draft202012Validator(_closed(whole)).is_valid(value):
        assert Draft202012Validator(dict(sent)).is_valid(value)


def _closed(schema: Any) -> Any:
    """Return the schema with its objects closed, and otherwise as it is."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _closed(value) for key, value in schema.items()}
    return {**inner, "additionalProperties": False} if schema.get("type") == "object" else inner


def test_a_call_for_another_target_is_sent_otherwise() -> None:
    """The target decides, not the call."""
    asked = call(CLOSED, Structured.AUTO)
    prompted = asked.to(replace(asked.target, model="other", structured=Structured.PROMPT))
    assert "system" in parameters_of(prompted)


_WORDS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "enum", "required", "$ref", "$defs", "const", "object"]
)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_WORDS, _ANY, max_size=5))
def test_what_is_no_schema_breaks_nothing(schema: dict[str, Any]) -> None:
    """Who counts tokens asks before anybody has looked at it."""
    assert parameters_of(call(schema, Structured.AUTO))["max_tokens"] == 9
