"""Questions in many forms, and what they ask in the plainest words: for fingerprints."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from sidecard.core.call import Call
from tests.support.script import a_call

Json = Any

# Few words, and those that mean something to the code, so that what is alike comes up often.
_WORDS = st.sampled_from(["text", "type", "image", "source", "data", "content", "role", "user"])
_KEYS = _WORDS | st.sampled_from(["cache_control", "ttl", "transformations"])
_ODD = st.sampled_from(["", "5m", "ephemeral", "1", "é", "e\u0301", ".0", "[1]", None, True, False])
_NUMBERS = st.sampled_from([0, 1, 1.0, -0.0, 2.5, 1e16, 10**16, 1e300, -1, 2**60])
_JSON = st.recursive(
    _WORDS | _ODD | _NUMBERS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)
_TEXTS = st.sampled_from(["", "a", "aa", "ab", "text", "0:", "é"])
_TEXT_BLOCKS = _TEXTS.map(lambda text: {"type": "text", "text": text})
_BLOCKS = _TEXT_BLOCKS | st.dictionaries(_KEYS, _JSON, max_size=4) | _JSON
_CONTENTS = st.lists(_BLOCKS, max_size=3) | _TEXTS
_ROLES = st.sampled_from(["user", "assistant"])
_MESSAGES = st.lists(
    st.fixed_dictionaries({"role": _ROLES, "content": _CONTENTS})
    | st.dictionaries(_KEYS, _JSON, max_size=3),
    min_size=1,
    max_size=3,
).map(tuple)
_PARAMETERS = st.fixed_dictionaries(
    {"max_tokens": st.sampled_from([1, 1.0, 2])},
    optional={
        "system": _TEXTS | st.lists(_BLOCKS, max_size=2),
        "tools": st.lists(st.dictionaries(_KEYS, _JSON, max_size=2), max_size=2) | _JSON,
        "tool_choice": _JSON,
        "cache_control": _JSON,
        "text": _JSON,
    },
)
_SCHEMAS = st.none() | st.dictionaries(_KEYS, _JSON, max_size=2)
CALLS = st.builds(
    lambda messages, parameters, schema: a_call(
        messages=messages, parameters=parameters, output_schema=schema
    ),
    _MESSAGES,
    _PARAMETERS,
    _SCHEMAS,
)


def exact(value: Json) -> Json:
    """Return JSON as tuples that are equal where JSON is: `1` and `1.0` are, and not `true`."""
    match value:
        case bool() | None:
            return ("constant", value)
        case int() | float():
            return ("number", value)
        case str():
            return ("text", value)
        case Mapping():
            return ("object", frozenset([(key, exact(item)) for key, item in value.items()]))
        case _:
            return ("list", tuple([exact(item) for item in value]))


def less(value: Json, key: str, default: Json) -> Json:
    """Return an object without a key that has its default."""
    if isinstance(value, dict) and key in value and exact(value[key]) == exact(default):
        return {k: v for k, v in value.items() if k != key}
    return value


def cached(value: Json) -> Json:
    if isinstance(value, dict) and isinstance(control := value.get("cache_control"), dict):
        return {**value, "cache_control": less(control, "ttl", "5m")}
    return value


def a_block(value: Json) -> Json:
    if not isinstance(value, dict):
        return value
    value = cached(value)
    if value.get("type") == "text" and isinstance(value.get("text"), str):
        return value
    if value.get("type") == "image":
        value = less(value, "transformations", {})
    if isinstance(content := value.get("content"), list):
        return {**value, "content": [a_block(inner) for inner in content]}
    return value


def a_message(message: Json) -> Json:
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if isinstance(content, list):
        return {**message, "content": [a_block(block) for block in content]}
    return message


def meaning(call: Call) -> Json:
    """Return what a call asks, in the plainest words."""
    parameters = cached(dict(call.parameters))
    if isinstance(system := parameters.get("system"), list):
        parameters["system"] = [a_block(block) for block in system]
    if isinstance(tools := parameters.get("tools"), list):
        parameters["tools"] = [less(cached(t), "eager_input_streaming", None) for t in tools]
    choice = less(parameters.get("tool_choice"), "disable_parallel_tool_use", default=False)
    parameters["tool_choice"] = [choice] if "tool_choice" in parameters else []
    messages = [a_message(message) for message in call.messages]
    return exact([call.output_schema, parameters, messages])


def reordered(value: Json, chance: random.Random) -> Json:
    """Return the same JSON with its keys in another order and its numbers in other forms."""
    match value:
        case Mapping():
            keys = list(value)
            chance.shuffle(keys)
            return {key: reordered(value[key], chance) for key in keys}
        case list():
            return [reordered(item, chance) for item in value]
        case int() | float() if not isinstance(value, bool):
            return chance.choice([f(value) for f in (int, float) if f(value) == value])
        case _:
            return value


def variants(value: Json) -> Iterator[Json]:
    """Yield JSON that differs from `value` in one place, for each of its places."""
    match value:
        case Mapping():
            for key, item in value.items():
                rest = {k: v for k, v in value.items() if k != key}
                yield rest
                yield {**rest, f"{key}'": item}
                for inner in variants(item):
                    yield {**rest, key: inner}
        case list() | tuple():
            for index, item in enumerate(value):
                before, after = list(value[:index]), list(value[index + 1 :])
                yield [*before, *after]
                yield [*before, item, item, *after]
                for inner in variants(item):
                    yield [*before, inner, *after]
        case str():
            yield f"{value}x"
            yield f"x{value}"
            yield [value]
        case bool():
            yield not value
            yield int(value)
        case int() | float():
            yield value + 1
            yield str(value)
        case _:
            yield ""
            yield 0
