"""Any schema and any answer: what comes through satisfies, what satisfies comes through.

Schemas are made here together with values that satisfy them; `test_from_schema` has values of
`hypothesis-jsonschema` for more of what a schema can say.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from sidecard.policy.jsontext import canonical
from sidecard.schema.judge import Judge


class Asked(NamedTuple):
    """A schema, and the values that satisfy it."""

    schema: Any
    values: st.SearchStrategy[Any]


_WORDS = st.sampled_from(["a", "b", "name", "n 1", "é"])
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_BOUNDS = st.integers(-9, 9)
_SIMPLE = {"string": _TEXTS, "boolean": st.booleans(), "null": st.none()}
_LEAVES = st.one_of(
    st.sampled_from(sorted(_SIMPLE)).map(lambda kind: Asked({"type": kind}, _SIMPLE[kind])),
    _BOUNDS.map(
        lambda low: Asked(
            {"type": "integer", "minimum": low, "maximum": low + 5}, st.integers(low, low + 5)
        )
    ),
    _BOUNDS.map(
        lambda low: Asked(
            {"type": "number", "exclusiveMinimum": low},
            st.floats(low, 1e9, exclude_min=True, allow_nan=False),
        )
    ),
    _WORDS.map(
        lambda word: Asked(
            {"type": "string", "pattern": f"^{word}[0-9]+$"},
            st.integers(0, 10**20).map(lambda n: f"{word}{n}"),
        )
    ),
    st.lists(_WORDS, min_size=1, unique=True).map(
        lambda words: Asked({"enum": words}, st.sampled_from(words))
    ),
    _WORDS.map(lambda word: Asked({"const": word}, st.just(word))),
)


def _object(inner: Mapping[str, Asked], *, closed: bool) -> Asked:
    required = sorted(inner)[:2]
    values = st.fixed_dictionaries(
        {name: inner[name].values for name in required},
        optional={name: inner[name].values for name in inner if name not in required},
    )
    schema = {
        "type": "object",
        "properties": {name: asked.schema for name, asked in inner.items()},
        "required": required,
    }
    return Asked({**schema, "additionalProperties": False} if closed else schema, values)


def _list(inner: Asked) -> Asked:
    return Asked({"type": "array", "items": inner.schema}, st.lists(inner.values, max_size=3))


def _either(both: list[Asked]) -> Asked:
    schemas = [asked.schema for asked in both]
    return Asked({"anyOf": schemas}, st.one_of([asked.values for asked in both]))


ASKED = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(
            _object, st.dictionaries(_WORDS, inner, min_size=1, max_size=3), closed=st.booleans()
        ),
        inner.map(_list),
        st.lists(inner, min_size=1, max_size=2).map(_either),
    ),
    max_leaves=5,
)
FRAMES = st.sampled_from(
    ["%s", " %s\n", "```json\n%s\n```", "Sure!\n```json\n%s\n```\nMore?", "```\n%s\n```"]
)


def judged(schema: Any, answer: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for part in Judge().answers(json.dumps(schema), answer):
        told |= part
    return told


@given(st.data())
def test_what_satisfies_comes_through(data: st.DataObject) -> None:
    """Whatever is around it, and with the value that it had."""
    asked = data.draw(ASKED)
    schema, value = asked.schema, data.draw(asked.values)
    frame = data.draw(FRAMES)
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    # A bare word or number without a mark on its fence is no JSON that anybody could tell.
    assume(isinstance(value, dict | list) or frame != "```\n%s\n```")
    told = judged(schema, frame % text)
    assert told["valid"], told
    assert told["output_json"] == canonical(text)


@given(st.data())
def test_what_comes_through_satisfies(data: st.DataObject) -> None:
    """An answer to one schema held against another; nothing is coerced to fit."""
    schema, other = data.draw(ASKED).schema, data.draw(ASKED)
    text = json.dumps(data.draw(other.values))
    told = judged(schema, data.draw(FRAMES) % text)
    fits = Draft202012Validator(schema).is_valid(json.loads(text, parse_float=Decimal))
    assert told["valid"] in (fits, False)
    if told["valid"]:
        assert told["output_json"] == canonical(text)
    else:
        assert told["violations"]


@settings(max_examples=100)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "properties", "items", "anyOf", "enum", "$ref", "pattern", "not"]),
        inner, max_size=3,
    ),
    max_leaves=10,
))  # fmt: skip
def test_any_json_is_a_schema_or_has_a_reason(value: Any) -> None:
    """Nothing breaks the judge."""
    told = judged(value, "{}")
    assert (told.get("problem")) or "valid" in told
