"""Bad requests: each mistake is named by its field and told how to mend."""

from typing import Any

import pytest

from sidecard.v1 import content_pb2
from sidecard.v1 import generation_pb2 as pb
from tests.support.decoding import decode, refused

HI: dict[str, Any] = {"text": {"text": "hi"}}
INF = float("inf")
OBJECT = {"type": "object"}
TOOL = {"name": "t", "input_schema": OBJECT}


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "ROLE_USER", "content": list(content)}]}


def tools(*given: dict[str, Any]) -> dict[str, Any]:
    return {"prompt": "x", "tools": list(given)}


CASES: list[tuple[dict[str, Any], str, str]] = [
    # The question.
    ({}, "prompt", "is empty"),
    ({"prompt": " \n\t"}, "prompt", "is empty"),
    ({"prompt": "x", **user(HI)}, "prompt", "set one of the two"),
    ({"messages": [{"role": "ROLE_ASSISTANT", "content": [HI]}]}, "messages", "ROLE_USER"),
    (
        {"messages": [{"role": 1, "content": [HI]}, {"content": [HI]}]},
        "messages[1].role",
        "unspeci",
    ),
    (
        {"messages": [{"role": 1, "content": [HI]}, {"role": 9, "content": [HI]}]},
        "messages[1].role",
        "unknown value 9",
    ),
    (user(), "messages[0].content", "has no blocks"),
    (user(HI, {}), "messages[0].content[1]", "empty block"),
    (user({"text": {}}), "messages[0].content[0].text", "is an empty text"),
    ({"messages": [{"role": "ROLE_USER", "content": [HI]}] * 10_001}, "messages", "10,001"),
    ({"prompt": "x", "system": "a", "system_blocks": [HI]}, "system", "set one of the two"),
    ({"prompt": "x", "system_blocks": [{"thinking": {}}]}, "system_blocks[0]", "is no text"),
    # Blocks.
    (
        user({**HI, "cache_control": {"ttl": {"seconds": 60}}}),
        "messages[0].content[0].cache_control.ttl",
        "5 minutes or 1 hour",
    ),
    (user({**HI, "extra": {"text": "other"}}), "messages[0].content[0].extra.text", "set it once"),
    (
        user({**HI, "extra": {"a": {"b": [1, INF]}}}),
        "messages[0].content[0].extra.a.b[1]",
        "inf, which JSON doesn't have",
    ),
    (user({"raw": {"text": "?"}}), "messages[0].content[0].raw.type", "is missing"),
    (user({"raw_json": "[]"}), "messages[0].content[0].raw_json", "no object"),
    (user({"raw_json": '{"type": "x"'}), "messages[0].content[0].raw_json", "aren't JSON"),
    (
        user({"raw_json": '{"type": "x", "n": NaN}'}),
        "messages[0].content[0].raw_json",
        "aren't JSON",
    ),
    (
        user({"raw_json": '{"type": "x", "t": "\\ud800"}'}),
        "messages[0].content[0].raw_json",
        "valid Unicode",
    ),
    (
        user({"raw_json": '{"type":"x","a":' * 202 + "1" + "}" * 202}),
        "messages[0].content[0].raw_json",
        "at most 200 levels",
    ),
    (user({"raw_json": '{"a":' * 100_000}), "messages[0].content[0].raw_json", "aren't JSON"),
    (user({"tool_use": {"id": "", "name": "n"}}), "messages[0].content[0].tool_use.id", "is empty"),
    (
        user({"tool_use": {"id": "i", "name": "n\x00"}}),
        "messages[0].content[0].tool_use.name",
        "control characters",
    ),
    (
        user({"tool_use": {"id": "i", "name": "n", "input_json": '{"cut": '}}),
        "messages[0].content[0].tool_use.input_json",
        "aren't JSON",
    ),
    (
        user({"tool_result": {"content": [HI]}}),
        "messages[0].content[0].tool_result.tool_use_id",
        "is empty",
    ),
    (
        user({"tool_result": {"tool_use_id": "i", "content": [HI, {"text": {}}]}}),
        "messages[0].content[0].tool_result.content[1].text",
        "is an empty text",
    ),
    # Parameters.
    ({"prompt": "x", "max_tokens": 0}, "max_tokens", "is 0; it has to be at least 1"),
    ({"prompt": "x", "max_tokens": -5}, "max_tokens", "is -5"),
    (
        {"prompt": "x", "max_tokens": 128_001},
        "max_tokens",
        '"claude-sonnet-5-5" writes at most 128,',
    ),
    ({"prompt": "x", "max_tokens": 501, "model": "own"}, "max_tokens", "at most 500"),
    ({"prompt": "x", "stop_sequences": ["a", ""]}, "stop_sequences[1]", "is empty"),
    ({"prompt": "x", "stop_sequences": ["a"] * 8_192}, "stop_sequences", "8,192"),
    ({"prompt": "x", "thinking": {}}, "thinking.mode", "is unspecified"),
    ({"prompt": "x", "thinking": {"mode": 77}}, "thinking.mode", "unknown value 77"),
    (
        {"prompt": "x", "thinking": {"mode": 2, "budget_tokens": 1_023}},
        "thinking.budget_tokens",
        "at least 1,024",
    ),
    (
        {"prompt": "x", "thinking": {"mode": 2, "budget_tokens": 4_096}},
        "thinking.budget_tokens",
        "below max_tokens, 4,096",
    ),
    (
        {"prompt": "x", "thinking": {"mode": 1, "budget_tokens": 2_000}},
        "thinking.budget_tokens",
        "MODE_ENABLED",
    ),
    ({"prompt": "x", "thinking": {"mode": 1, "display": "full"}}, "thinking.display", '"full"'),
    ({"prompt": "x", "thinking": {"mode": 3, "display": "omitted"}}, "thinking.display", "omitted"),
    ({"prompt": "x", "extra": {"model": "m"}}, "extra.model", "a field of its own"),
    ({"prompt": "x", "extra": {"stream": True}}, "extra.stream", "leave it out"),
    ({"prompt": "x", "extra": {"a": {"b": float("nan")}}}, "extra.a.b", "nan, which JSON doesn't"),
    ({"prompt": "x", "output_schema": {"type": 5}}, "output_schema", "at /type"),
    (
        {"prompt": "x", "output_schema": OBJECT, "extra": {"output_config": {"format": None}}},
        "extra.output_config.format",
        "leave one of the two out",
    ),
    # Tools.
    (tools({"input_schema": OBJECT}), "tools[0].name", "1 to 128"),
    (tools({"name": "a b", "input_schema": OBJECT}), "tools[0].name", 'is "a b"'),
    (tools(TOOL, TOOL), "tools[1].name", "an earlier tool's"),
    (tools(TOOL, {"raw": {"type": "x", "name": "t"}}), "tools[1].raw.name", "an earlier tool's"),
    (tools({"name": "t"}), "tools[0].input_schema", "is required"),
    (tools({"name": "t", "input_schema": {}}), "tools[0].input_schema", 'type "object"'),
    (tools({"name": "t", "input_schema": {"type": "string"}}), "tools[0].input_schema", "object"),
    (
        tools(TOOL, {"name": "u", "input_schema": {"type": "object", "properties": {"a": 5}}}),
        "tools[1].input_schema",
        "at /properties/a",
    ),
    (
        tools({"name": "t", "input_schema": {"type": "object", "minProperties": INF}}),
        "tools[0].input_schema.minProperties",
        "inf",
    ),
    (tools({**TOOL, "extra": {"description": "d"}}), "tools[0].extra.description", "of its own"),
    (tools({"name": "t", "raw": {"type": "x"}}), "tools[0].raw", "set nothing beside it"),
    (tools({"raw": {"name": "x"}}), "tools[0].raw.type", "names its type"),
    ({"prompt": "x", "tool_choice": {"mode": 2}}, "tool_choice", "without any tools"),
    ({**tools(TOOL), "tool_choice": {"mode": 3, "name": "u"}}, "tool_choice.name", '"u"'),
    ({**tools(TOOL), "tool_choice": {"mode": 3}}, "tool_choice.name", "none of the tools has"),
    ({**tools(TOOL), "tool_choice": {"name": "t"}}, "tool_choice.name", "MODE_TOOL"),
    ({**tools(TOOL), "tool_choice": {"mode": 99}}, "tool_choice.mode", "unknown value 99"),
    (
        {**tools(TOOL), "tool_choice": {"mode": 4, "disable_parallel_tool_use": True}},
        "tool_choice.disable_parallel_tool_use",
        "MODE_NONE",
    ),
    # Terms.
    ({"prompt": "x", "tenant": "-a"}, "tenant", 'is "-a"'),
    ({"prompt": "x", "tenant": "a" * 65}, "tenant", "1 to 64"),
    ({"prompt": "x", "tenant": "a\nforged=1"}, "tenant", '"a\\nforged=1"'),
    ({"prompt": "x", "labels": {str(i): "" for i in range(17)}}, "labels", "are 17"),
    ({"prompt": "x", "labels": {"k" * 64: ""}}, f'labels["{"k" * 64}"]', "64 characters"),
    ({"prompt": "x", "labels": {"": "v"}}, 'labels[""]', "0 characters"),
    ({"prompt": "x", "labels": {"k": "v" * 129}}, 'labels["k"]', "at most 128"),
    ({"prompt": "x", "labels": {"k": "\x1b[2J"}}, 'labels["k"]', "control characters"),
    ({"prompt": "x", "priority": 5}, "priority", "unknown value 5"),
    ({"prompt": "x", "cache": {"mode": 6}}, "cache.mode", "unknown value 6"),
    ({"prompt": "x", "cache": {"ttl": {"seconds": -1}}}, "cache.ttl", "is -1 s"),
    ({"prompt": "x", "cache": {"ttl": {"nanos": 1_000_000_000}}}, "cache.ttl", "no valid Duration"),
    ({"prompt": "x", "cache": {"namespace": "n" * 65}}, "cache.namespace", "at most 64"),
    ({"prompt": "x", "cache": {"namespace": "\x7f"}}, "cache.namespace", "control"),
    (
        {"prompt": "x", "fallback": {"last_resorts": [1, 0]}},
        "fallback.last_resorts[1]",
        "is unspecified",
    ),
    ({"prompt": "x", "fallback": {"last_resorts": [8]}}, "fallback.last_resorts[0]", "value 8"),
    ({"prompt": "x", "max_cost_nano_usd": -1}, "max_cost_nano_usd", "is -1"),
    ({"prompt": "x", "max_input_tokens": 0}, "max_input_tokens", "at least 1"),
]


@pytest.mark.parametrize(("request_", "field", "phrase"), CASES)
def test_a_mistake_is_named_by_its_field(request_: dict[str, Any], field: str, phrase: str) -> None:
    """One mistake is one violation, of the field that has it, on one bounded line."""
    found = refused(pb.GenerateRequest(**request_))
    assert list(found) == [field]
    assert phrase in found[field]
    assert len(found[field]) < 250
    assert found[field].isprintable()


def test_all_mistakes_are_told_at_once() -> None:
    """A request with several mistakes gets all of them, under the caller's own paths."""
    request = pb.GenerateRequest(model="no-such", tenant="?", max_tokens=0, max_cost_nano_usd=-1)
    found = refused(request, prefix="request.")
    names = ["model", "prompt", "max_tokens", "tenant", "max_cost_nano_usd"]
    assert list(found) == [f"request.{name}" for name in names]


def test_ten_thousand_mistakes_are_bounded() -> None:
    """The list of mistakes doesn't grow with the request."""
    empty = {"role": "ROLE_UNSPECIFIED", "content": [{}]}
    assert len(refused(pb.GenerateRequest(messages=[empty] * 10_000))) == 100


def test_blocks_are_counted_before_they_are_decoded() -> None:
    """More blocks than can be decoded without holding up other calls are refused, all at once."""
    block = content_pb2.ContentBlock(text=content_pb2.TextBlock(text="x"))
    message = content_pb2.Message(role=content_pb2.ROLE_USER, content=[block] * 50_001)
    found = refused(pb.GenerateRequest(messages=[message, message]))
    assert list(found) == ["messages"]
    assert "100,002 blocks" in found["messages"]


def test_ten_thousand_messages_are_taken() -> None:
    """The limit itself is within the limit."""
    one = {"role": "ROLE_USER", "content": [HI]}
    assert len(decode(pb.GenerateRequest(messages=[one] * 10_000)).messages) == 10_000


def test_a_value_that_holds_nothing_is_refused() -> None:
    """A Struct's value without any kind isn't taken for a null."""
    request = pb.GenerateRequest(prompt="x")
    request.extra.fields["a"].list_value.values.add()
    assert "holds no value" in refused(request)["extra.a[0]"]


def test_a_tool_of_a_named_set_may_be_chosen() -> None:
    """Where the upstream runs a set of tools, the names in it are known there alone."""
    choice = {"mode": "MODE_TOOL", "name": "inside"}
    request = pb.GenerateRequest(**tools({"raw": {"type": "mcp_toolset"}}), tool_choice=choice)
    assert decode(request).parameters["tool_choice"] == {"type": "tool", "name": "inside"}


def test_text_may_hold_all_that_unicode_has() -> None:
    """NUL, control characters and emoji in a text go to the model as they are."""
    text = "\x00\x1b\u2028\U0001f600\ufffe"
    assert decode(pb.GenerateRequest(prompt=text)).messages[0]["content"][0]["text"] == text
    block = content_pb2.ContentBlock(raw_json='{"type": "x", "t": "\\ud83d\\ude00"}')
    request = pb.GenerateRequest(messages=[{"role": 1, "content": [block]}])
    assert decode(request).messages[0]["content"] == [{"type": "x", "t": "\U0001f600"}]


def test_nothing_of_the_content_is_repeated() -> None:
    """A violation in a text, an argument or a schema tells its place, not what it says."""
    secret = "correct-horse"
    request = pb.GenerateRequest(
        **user({"tool_use": {"id": "i", "name": "n", "input_json": secret}}, {"raw_json": secret}),
        output_schema={"type": secret},
    )
    found = refused(request)
    assert len(found) == 3
    assert secret not in str(found)


def test_no_schema_makes_the_daemon_fetch_anything() -> None:
    """References to elsewhere are the upstream's business: none is looked up from here."""
    nowhere = "http://127.0.0.1:1/schema"
    schema = {"$schema": nowhere, "$id": nowhere, "type": "object", "$ref": f"{nowhere}/other"}
    call = decode(pb.GenerateRequest(prompt="x", output_schema=schema))
    assert call.output_schema == schema
