"""Requests to calls: what a good request becomes."""

from typing import Any

import pytest

from sidecard.core.call import CacheMode, FallbackPolicy, LastResort, Mode, Priority
from sidecard.core.errors import InvalidCall
from sidecard.core.trail import Trail
from sidecard.server.wire.schema_in import Schemas
from sidecard.server.wire.violations import Violations
from sidecard.v1 import generation_pb2 as pb
from tests.support.decoding import ROUTES, decode, decoder, refused

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}


def test_a_prompt_is_a_user_message() -> None:
    """The shorthand is one user message of one text block, to the default route."""
    call = decode(pb.GenerateRequest(prompt="hello"))
    assert call.messages == ({"role": "user", "content": [{"type": "text", "text": "hello"}]},)
    assert call.parameters == {"max_tokens": 4_096}
    assert (call.route, call.target) == (ROUTES["default"], ROUTES["default"].targets[0])
    assert (call.tenant, call.priority) == ("default", Priority.INTERACTIVE)
    assert (call.mode, call.request_id, call.deadline) == (Mode.UNARY, "req-1", 7.0)


def test_every_parameter_has_its_place() -> None:
    """What the contract names differently is called as the upstream calls it."""
    request = pb.GenerateRequest(
        prompt="x",
        system="be brief",
        max_tokens=2_000,
        stop_sequences=["END"],
        tools=[
            {
                "name": "look",
                "description": "up",
                "input_schema": SCHEMA,
                "extra": {"strict": True},
            },
            {"raw": {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}},
        ],
        tool_choice={"mode": "MODE_TOOL", "name": "look", "disable_parallel_tool_use": True},
        thinking={"mode": "MODE_ENABLED", "budget_tokens": 1_024, "display": "omitted"},
        extra={"service_tier": "auto", "metadata": {"user_id": "u"}},
    )
    assert decode(request).parameters == {
        "system": "be brief",
        "max_tokens": 2_000,
        "stop_sequences": ["END"],
        "tools": [
            {"name": "look", "description": "up", "input_schema": SCHEMA, "strict": True},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
        "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1_024, "display": "omitted"},
        "service_tier": "auto",
        "metadata": {"user_id": "u"},
    }


def test_messages_keep_their_order_and_roles() -> None:
    """Each role is the upstream's, and system blocks keep their cache control."""
    text: dict[str, Any] = {"text": {"text": "t"}, "cache_control": {"ttl": {"seconds": 3600}}}
    roles = ["ROLE_USER", "ROLE_ASSISTANT", "ROLE_SYSTEM", "ROLE_USER"]
    call = decode(
        pb.GenerateRequest(
            messages=[{"role": role, "content": [text]} for role in roles], system_blocks=[text]
        )
    )
    block = {"type": "text", "text": "t", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert [m["role"] for m in call.messages] == ["user", "assistant", "system", "user"]
    assert call.parameters["system"] == call.messages[0]["content"] == [block]


def test_the_terms_of_a_call_are_its_own() -> None:
    """Whom it is for, what the cache may do, what it may cost: all of it reaches the stack."""
    call = decode(
        pb.GenerateRequest(
            prompt="x",
            tenant="team-a:prod@eu",
            priority="PRIORITY_BATCH",
            labels={"app": "shop"},
            cache={"mode": "MODE_ONLY", "ttl": {"seconds": 90, "nanos": 500_000_000}},
            fallback={"last_resorts": ["LAST_RESORT_STALE", "LAST_RESORT_STATIC"]},
            max_cost_nano_usd=0,
            max_input_tokens=10,
        )
    )
    assert (call.tenant, call.priority, call.labels) == (
        "team-a:prod@eu",
        Priority.BATCH,
        {"app": "shop"},
    )
    assert (call.cache.mode, call.cache.ttl_s) == (CacheMode.ONLY, 90.5)
    assert call.fallback == FallbackPolicy(frozenset({LastResort.STALE, LastResort.STATIC}))
    assert call.max_cost_nano_usd == 0


def test_an_output_schema_goes_upstream_as_the_format() -> None:
    """The schema joins what `extra` says of the output."""
    request = pb.GenerateRequest(
        prompt="x", output_schema=SCHEMA, extra={"output_config": {"effort": "high"}}
    )
    call = decode(request)
    assert call.output_schema == SCHEMA
    form = {"type": "json_schema", "schema": SCHEMA}
    assert call.parameters["output_config"] == {"effort": "high", "format": form}


def test_a_model_that_is_allowed_is_its_own_route() -> None:
    """It has no other target, and the default route's max_tokens."""
    call = decode(pb.GenerateRequest(prompt="x", model="claude-haiku-4-5-20251001"))
    assert [target.model for target in call.route.targets] == ["claude-haiku-4-5-20251001"]
    assert call.parameters["max_tokens"] == 4_096


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("defualt", 'did you mean "default"?'),
        ("claude-opus-4", 'did you mean "claude-*-4-5*"?'),
        ("x", 'known are "claude-*-4-5*", "default", "free", "own", "small"'),
        ("de\nfault", 'unknown route or model "de\\nfault"'),
        ("x" * 10_000, "…"),
    ],
)
def test_an_unknown_model_gets_advice(model: str, advice: str) -> None:
    """The nearest name is offered, or the list of them, on one bounded line."""
    description = refused(pb.GenerateRequest(prompt="x", model=model))["model"]
    assert advice in description
    assert len(description) < 200
    assert description.isprintable()


@pytest.mark.parametrize(
    ("model", "chosen", "sent"),
    [
        ("default", 128_000, 128_000),
        ("small", None, 32_000),
        ("small", 32_000, 32_000),
        ("own", 500, 500),
        ("free", 10_000_000, 10_000_000),
    ],
)
def test_max_tokens_go_up_to_what_the_model_can(model: str, chosen: int | None, sent: int) -> None:
    """A default is cut to the model's most; where that isn't known nothing is checked."""
    call = decode(pb.GenerateRequest(prompt="x", model=model, max_tokens=chosen))
    assert call.parameters["max_tokens"] == sent


def test_numbers_in_structs_are_whole_where_they_are() -> None:
    """A whole number of a Struct is an int again, up to where doubles stop being exact."""
    call = decode(
        pb.GenerateRequest(prompt="x", extra={"a": [5, -(2**53), 0.5, 1e300, True, None]})
    )
    assert repr(call.parameters["a"]) == "[5, -9007199254740992, 0.5, 1e+300, True, None]"


def test_schemas_are_remembered_within_bounds() -> None:
    """The same schema is read once; what is remembered doesn't grow with what callers send."""
    schemas, found = Schemas(), Violations()
    schema = pb.GenerateRequest(output_schema=SCHEMA).output_schema
    assert schemas.read(schema, "s", found) is schemas.read(schema, "s", found)
    assert repr(schemas).startswith("<Schemas: 1 known")
    for number in range(12):
        huge = {"type": "object", "description": chr(97 + number) * 200_000}
        read = schemas.read(pb.GenerateRequest(output_schema=huge).output_schema, "s", found)
        assert read["description"] == huge["description"]
    assert repr(schemas).startswith("<Schemas: 5 known")
    assert len(found) == 0


def test_a_bad_schema_stays_bad() -> None:
    """What is remembered of a schema is its problem, too."""
    once = decoder()
    request = pb.GenerateRequest(prompt="x", output_schema={"type": "objekt"})
    for _ in range(2):
        with pytest.raises(InvalidCall, match=r"output_schema: is no JSON Schema.*at /type"):
            once.decode(request, mode=Mode.UNARY, request_id="r", deadline=1.0, trail=Trail())
