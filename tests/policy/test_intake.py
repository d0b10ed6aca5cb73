"""`Intake`: what a route doesn't take is refused, each with its field and the way on."""

from typing import Any

import pytest

from sidecard.core.errors import InvalidCall
from sidecard.policy.intake import Intake
from sidecard.policy.redaction import Redactor
from sidecard.policy.refusing import ANYTHING, IntakePolicy
from tests.support.script import a_call

TEXT = {"type": "text", "text": "hi"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}


def taken(policy: IntakePolicy, prefix: str = "", **fields: Any) -> list[str]:
    """Return what is said of a call, nothing where it is taken."""
    call = a_call(**fields)
    try:
        assert Intake(lambda _: policy, Redactor())(call, prefix) is call
    except InvalidCall as error:
        return [f"{v.field}: {v.description}" for v in error.violations]
    return []


def user(*content: Any) -> Any:
    return ({"role": "user", "content": list(content)},)


def test_by_default_anything_is_taken() -> None:
    """The call itself goes on."""
    assert taken(ANYTHING, messages=user(IMAGE)) == []


def test_a_size_in_bytes() -> None:
    """All of the question counts, as JSON in UTF-8, to the byte."""
    messages = user({"type": "text", "text": "ü" * 10})
    size = len('[[{"role":"user","content":[{"type":"text","text":"')
    size += 20 + len('"}]}],{"max_tokens":9}]')
    fields = {"messages": messages, "parameters": {"max_tokens": 9}}
    assert taken(IntakePolicy(max_bytes=size), **fields) == []
    [told] = taken(IntakePolicy(max_bytes=size - 1), **fields)
    assert told == (
        f"messages: {size} bytes of input aren't taken by route default; "
        f"at most {size - 1} are (input.max_bytes)"
    )


def test_types_of_content() -> None:
    """In messages, in the system's text and in tools' results; the machinery of tools is none."""
    policy = IntakePolicy(content=frozenset({"text"}))
    answer = {"type": "tool_result", "tool_use_id": "a", "content": [TEXT, IMAGE]}
    use = {"type": "tool_use", "id": "a", "name": "n", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "b", "content": []}
    messages = (
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, use, found]},
        {"role": "user", "content": [answer, {"type": "newest"}]},
    )
    system = [TEXT, {"type": "document"}]
    parameters = {"max_tokens": 9, "system": system}
    problems = taken(policy, messages=messages, parameters=parameters)
    assert [told.split(":")[0] for told in problems] == [
        "system[1]",
        "messages[2].content[0].content[1]",
        "messages[2].content[1]",
    ]
    assert problems[1].endswith("type image isn't taken by route default; text are (input.content)")
    assert taken(IntakePolicy(content=frozenset())) == [
        (
            "messages[0].content[0]: content of type text isn't taken by route default; "
            "none are (input.content)"
        )
    ]


def test_tools() -> None:
    """By name or pattern: the caller's, the upstream's, and servers of tools."""
    policy = IntakePolicy(tools=("look_*", "web_search"))
    tools = [{"name": "look_up"}, {"name": "shell"}, {"type": "web_search_1", "name": "web_search"}]
    servers = [{"name": "crm", "url": "https://example.com"}]
    parameters = {"max_tokens": 9, "tools": tools, "mcp_servers": servers}
    problems = taken(policy, "request.", parameters=parameters)
    assert [told.split(" by")[0] for told in problems] == [
        "request.tools[1]: the tool shell isn't taken",
        "request.mcp_servers[0]: the tool crm isn't taken",
    ]
    assert taken(IntakePolicy(tools=()), parameters={"max_tokens": 9, "tools": []}) == []


@pytest.mark.parametrize(("tenant", "served"), [("team-a", True), ("default", False), ("a", False)])
def test_tenants(tenant: str, *, served: bool) -> None:
    """By name or pattern."""
    problems = taken(IntakePolicy(tenants=("team-*",)), tenant=tenant)
    assert problems == ([] if served else [f"tenant: {tenant} isn't served by route default"])


def test_what_is_wrong_is_bounded() -> None:
    """Of ten thousand pictures a hundred are told."""
    policy = IntakePolicy(content=frozenset({"text"}))
    assert len(taken(policy, messages=user(*[IMAGE] * 10_000))) == 100


def test_what_is_hidden_is_hidden_from_all_that_follow() -> None:
    """Two calls that differ in what is hidden alone are one and the same from here on."""
    intake = Intake(lambda _: IntakePolicy(redact=("email",)), Redactor())
    one, other = [
        intake(a_call(messages=user({"type": "text", "text": f"{who}@example.com asks"})))
        for who in ("ann", "bob")
    ]
    assert one.messages == other.messages == user({"type": "text", "text": "[email] asks"})
