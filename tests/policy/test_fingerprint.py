"""`fingerprint`: the same for calls that ask the same, and for no others."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.core.call import (
    CacheMode,
    CachePolicy,
    Call,
    FallbackPolicy,
    LastResort,
    Mode,
    Priority,
    Route,
    Target,
)
from sidecard.core.jsonio import loads
from sidecard.policy.fingerprint import Fingerprint, Fingerprints, fingerprint
from tests.support.asking import CALLS, meaning, reordered, variants
from tests.support.script import a_call

Json = Any

EPHEMERAL = {"type": "ephemeral"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}


@settings(max_examples=200)
@given(CALLS, CALLS)
def test_fingerprints_are_equal_where_calls_are(one: Call, other: Call) -> None:
    """For any two calls: they ask the same, or their fingerprints differ; never both, nor none."""
    same = meaning(one) == meaning(other)
    assert (fingerprint(one).whole == fingerprint(other).whole) is same


@settings(max_examples=100)
@given(CALLS)
def test_any_change_of_what_is_asked_tells(call: Call) -> None:
    """One place that differs, anywhere, is another fingerprint, unless it means the same."""
    whole, meant = fingerprint(call).whole, meaning(call)
    others = [
        *[replace(call, messages=tuple(v)) for v in variants(call.messages) if v and _objects(v)],
        *[replace(call, parameters=v) for v in variants(call.parameters)],
        *[replace(call, output_schema=v) for v in variants(call.output_schema) if v != ""],
    ]
    for other in others:
        assert (fingerprint(other).whole == whole) is (meaning(other) == meant)


def _objects(values: Json) -> bool:
    return all(isinstance(value, dict) for value in values)


@settings(max_examples=100)
@given(CALLS, st.randoms(use_true_random=False))
def test_forms_make_no_difference(call: Call, chance: random.Random) -> None:
    """Neither the order of keys nor how a number is written tells two calls apart."""
    other = a_call(
        messages=tuple([reordered(message, chance) for message in call.messages]),
        parameters=reordered(call.parameters, chance),
        output_schema=reordered(call.output_schema, chance),
    )
    assert fingerprint(other) == fingerprint(call)


def test_numbers_as_json_writes_them_are_one() -> None:
    """`1`, `1.0`, `1e0` and `100e-2` are the same number; `true` and `"1"` are none."""

    def of(number: str) -> bytes:
        return fingerprint(a_call(parameters=loads(f'{{"max_tokens":1,"x":{number}}}'))).whole

    assert len({of(number) for number in ("1", "1.0", "1e0", "100e-2")}) == 1
    assert len({of(number) for number in ("1", "true", '"1"', "1.5", "[1]", "-1", "null")}) == 7
    assert of("1e22") == of("10000000000000000000000")


SPELLED: list[tuple[dict[str, Json], dict[str, Json]]] = [
    (
        {"messages": ({"role": "user", "content": "hi"},)},
        {"messages": ({"role": "user", "content": [{"type": "text", "text": "hi"}]},)},
    ),
    (
        {"parameters": {"tool_choice": {"type": "any"}}},
        {"parameters": {"tool_choice": {"type": "any", "disable_parallel_tool_use": False}}},
    ),
    (
        {"parameters": {"cache_control": EPHEMERAL}},
        {"parameters": {"cache_control": {**EPHEMERAL, "ttl": "5m"}}},
    ),
    (
        {"parameters": {"system": [{"type": "text", "text": "s", "cache_control": EPHEMERAL}]}},
        {
            "parameters": {
                "system": [
                    {"type": "text", "text": "s", "cache_control": {**EPHEMERAL, "ttl": "5m"}}
                ]
            }
        },
    ),
    (
        {"parameters": {"tools": [{**TOOL, "cache_control": EPHEMERAL}]}},
        {"parameters": {"tools": [{**TOOL, "cache_control": {**EPHEMERAL, "ttl": "5m"}}]}},
    ),
    (
        {"parameters": {"tools": [TOOL]}},
        {"parameters": {"tools": [{**TOOL, "eager_input_streaming": None}]}},
    ),
    (
        {"messages": ({"role": "user", "content": [{"type": "image", "source": {}}]},)},
        {
            "messages": (
                {
                    "role": "user",
                    "content": [{"type": "image", "source": {}, "transformations": {}}],
                },
            )
        },
    ),
]


@pytest.mark.parametrize(("short", "spelled"), SPELLED)
def test_documented_defaults_may_be_spelled(
    short: dict[str, Json], spelled: dict[str, Json]
) -> None:
    """A default that the API's types document makes no difference, written out or not."""
    assert fingerprint(a_call(**short)) == fingerprint(a_call(**spelled))


DIFFERENT: list[dict[str, Json]] = [
    {"tool_choice": {"type": "auto"}},
    {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    {"tool_choice": {"type": "auto", "disable_parallel_tool_use": 0}},
    {"cache_control": {**EPHEMERAL, "ttl": "1h"}},
    {"cache_control": EPHEMERAL},
    {"tools": [{**TOOL, "eager_input_streaming": False}]},
    {"tools": [TOOL, {**TOOL, "name": "listen"}]},
    {"tools": [{**TOOL, "name": "listen"}, TOOL]},
    {"metadata": {"cache_control": {**EPHEMERAL, "ttl": "5m"}}},
    {"metadata": {"cache_control": EPHEMERAL}},
    {"stop_sequences": ["a", "b"]},
    {"stop_sequences": ["b", "a"]},
    {"stop_sequences": []},
    {"system": ""},
    {"system": "é"},
    {"system": "e\u0301"},
    {"system": [{"type": "text", "text": "é"}]},
    {"temperature": 1},
    {"temperature": 0.5},
    {"thinking": {"type": "adaptive"}},
    {"output_config": {"effort": "low"}},
    {},
]


def test_what_is_no_documented_default_tells() -> None:
    """Everything else is another question, as far as anybody knows."""
    calls = [a_call(parameters={"max_tokens": 9, **more}) for more in DIFFERENT]
    assert len({fingerprint(call).whole for call in calls}) == len(DIFFERENT)


WHOSE: list[dict[str, Json]] = [
    {},
    {"tenant": "acme"},
    {"cache": CachePolicy(namespace="v2")},
    {"target": Target("claude-other")},
    {"output_schema": {}},
    {"output_schema": {"type": "object"}},
]


def test_whose_answer_it_is_tells() -> None:
    """Tenant, namespace, model and schema each make another call, also in the context."""
    found = [fingerprint(a_call(**fields)) for fields in WHOSE]
    assert len({f.whole for f in found}) == len({f.context for f in found}) == len(WHOSE)


@pytest.mark.parametrize(
    "fields",
    [
        {"request_id": "another"},
        {"deadline": 7.0},
        {"mode": Mode.STREAM},
        {"priority": Priority.BATCH},
        {"labels": {"team": "x"}},
        {"cache": CachePolicy(CacheMode.REFRESH, ttl_s=5.0)},
        {"fallback": FallbackPolicy(frozenset([LastResort.STALE]), continue_stream=True)},
        {"max_cost_nano_usd": 1, "max_input_tokens": 2},
        {"route": Route("other", (Target("claude-test"), Target("b")), 5)},
        {"target": Target("claude-test", max_output_tokens=7)},
    ],
)
def test_who_asks_and_how_makes_no_difference(fields: dict[str, Json]) -> None:
    """What can't change the answer is not part of it."""
    assert fingerprint(a_call(**fields)) == fingerprint(a_call())


def turns(*texts: str, last: Json = "?", role: str = "user") -> Fingerprint:
    """Return the fingerprint of a conversation whose last message is `last`."""
    earlier = [{"role": "user", "content": text} for text in texts]
    return fingerprint(a_call(messages=(*earlier, {"role": role, "content": last})))


def test_the_context_is_all_but_the_last_texts() -> None:
    """Another question in the same place has the same context; nothing else has."""
    one, other = turns("a", last="b"), turns("a", last="c")
    assert one.context == other.context
    assert one.whole != other.whole
    assert turns("x", last="b").context != one.context
    assert turns("a", "a", last="b").context != one.context
    assert turns("a", last=[*_texts("b"), *_texts("")]).context != one.context
    picture = {"type": "image", "source": {"type": "base64", "media_type": "m", "data": "QQ=="}}
    assert turns("a", last=[*_texts("b"), picture]).context != one.context
    kept = [{"type": "text", "text": "b", "cache_control": EPHEMERAL}]
    assert turns("a", last=kept).context != one.context
    assert len(one.whole) == len(one.context) == 32


def test_only_the_text_blocks_of_a_user_are_left_out() -> None:
    """An assistant's last words, and the text of a tool's result, are context."""
    assert turns(last="b", role="assistant").context != turns(last="c", role="assistant").context
    one, other = (
        turns(last=[{"type": "tool_result", "tool_use_id": "t", "content": _texts(text)}])
        for text in "bc"
    )
    assert one.context != other.context


def test_texts_keep_to_their_blocks() -> None:
    """The same letters spread over blocks in another way are another call."""
    ways = [("ab", ""), ("a", "b"), ("", "ab"), ("a1", "b"), ("a", "1b")]
    found = [turns(last=[*_texts(one), *_texts(other)]) for one, other in ways]
    assert len({f.whole for f in found}) == len(ways)
    assert len({f.context for f in found}) == 1


def _texts(text: str) -> list[Json]:
    return [{"type": "text", "text": text}]


def test_what_else_a_message_has_tells() -> None:
    """A message's role and any other key of it, which a newer API may bring, change the answer."""
    content = [{"type": "text", "text": "hi"}]
    forms = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": content},
        {"role": "user", "content": content, "name": "ann"},
        {"role": "user", "content": content, "name": "bob"},
        {"role": "user", "content": content, "voice": "ann"},
        {"content": content},
    ]
    for place in (0, 1):
        whole = set()
        for form in forms:
            messages: list[Json] = [{"role": "user", "content": content}] * 2
            messages[place] = form
            whole.add(fingerprint(a_call(messages=tuple(messages))).whole)
        assert len(whole) == len(forms)


def test_a_form_can_not_be_made_to_look_like_another() -> None:
    """A block that carries its text elsewhere is no text block, whatever else it has."""
    text: Json = {"type": "text", "text": "abc", "source": {}}
    other: Json = {"type": "text", "source": {"data": "abc"}}
    assert turns(last=[text], role="assistant") != turns(last=[other], role="assistant")
    assert turns("abc") != turns(last=[3], role="assistant")


@pytest.mark.parametrize("odd", [float("inf"), "\ud800", {"deep": [[[[{}]]]]}])
def test_odd_values_have_one_too(odd: Json) -> None:
    """What the upstream would refuse is no reason to fail here."""
    call = a_call(
        parameters={"max_tokens": 1, "x": odd}, messages=({"role": "user", "content": str(odd)},)
    )
    assert fingerprint(call) == fingerprint(call)
    assert fingerprint(call) != fingerprint(a_call())


GOLDEN: list[tuple[dict[str, Json], str, str]] = [
    (
        {},
        "53915055f9ab5b0ea529b78518ff4b3daf235439e8255ff7e799ff4c9b2eb887",
        "5bf98869839441fd1c39a31a1c480928ab8cc200cc0c29fc0b6bf99e649c37c6",
    ),
    (
        {
            "tenant": "acme",
            "cache": CachePolicy(namespace="v2"),
            "target": Target("claude-other"),
            "output_schema": {"type": "object", "required": ["a"]},
            "parameters": {
                "max_tokens": 64,
                "system": [{"type": "text", "text": "Büro", "cache_control": EPHEMERAL}],
                "tools": [TOOL],
                "x": [1.0, 0.1, 1e300, True, None, "\ud83d\ude00"],
            },
            "messages": (
                {"role": "user", "content": "look"},
                {
                    "role": "user",
                    "content": [
                        {"type": "document", "source": {"type": "text", "data": "d" * 99}},
                        {"type": "tool_result", "tool_use_id": "t", "content": []},
                        {"type": "text", "text": "and?", "citations": []},
                        {"type": "text", "text": "so?"},
                    ],
                },
            ),
        },
        "cc53b5006c9cbb0d23de2e2954df69fd568b2561e47f32e8834401151bb0698a",
        "b7f971b1d44c24c50cfd4d7a3e981c2352368167f246096ccec739ea7aa41976",
    ),
    (
        {"messages": ({"role": "assistant", "content": [{"type": "text", "text": "It is"}]},)},
        "b0eaaa165a60f6fbe73d42eeb9479c80db263b6126bdd7b9ed804291509db271",
        "a7ba211aa5c73e3f07aac65f31a6bb15c4b0fe606d7db450bbba63cbe4536145",
    ),
]


@pytest.mark.parametrize(("fields", "whole", "context"), GOLDEN)
def test_fingerprints_stay(fields: dict[str, Json], whole: str, context: str) -> None:
    """What is on disk is found again: who changes one of these has to raise `VERSION`."""
    found = fingerprint(a_call(**fields))
    assert (found.whole.hex(), found.context.hex()) == (whole, context)


def test_another_upstream_gives_another_answer() -> None:
    """What a simulator or another gateway answered isn't taken for this one's."""
    found = {fingerprint(a_call(), origin) for origin in ("", "direct https://a", "simulated")}
    assert len({whole for whole, _ in found}) == len({context for _, context in found}) == 3


def test_a_fingerprint_is_made_once_for_one_call() -> None:
    """Layers that ask right after one another get the same one; another call has its own."""
    one, other = a_call(), a_call(tenant="other")
    remembered = Fingerprints("origin")
    first = remembered(one)
    assert remembered(one) is first
    assert remembered(other) == fingerprint(other, "origin")
    assert remembered(one) == first == fingerprint(one, "origin")
