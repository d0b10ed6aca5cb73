"""What the simulator refuses, as the API does."""

import io
import json

import aiohttp
import pytest

from sidecard.simulator.server import Simulator
from tests.support.simulator import HEADERS, PATH, Json, ask, question

WRONG: list[tuple[Json, str]] = [
    ({"model": None}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["hello"]}, "messages.0"),
    ({"messages": [{"role": "robot", "content": "hello"}]}, "messages.0.role"),
    ({"messages": [{"role": "assistant", "content": "hello"}]}, "messages"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": [{"text": "?"}]}]}, "messages.0.content.0.type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
    ({"tools": [{"name": "tool"}]}, "tools.0.input_schema"),
    ({"tool_choice": {"type": "tool", "name": "none"}}, "tool_choice"),
    ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1}}, "thinking.enabled.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "`max_tokens` must"),
    ({"stop_sequences": [" "]}, "stop_sequences"),
]


@pytest.mark.parametrize(("wrong", "names"), WRONG)
async def test_a_broken_rule_is_a_400_that_names_the_field(
    sim: Simulator, wrong: Json, names: str
) -> None:
    """A wrong request gets the API's error body, with the field in its message."""
    answered = await ask(sim, question(**wrong))
    body = answered.json()
    assert answered.status == 400
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"].startswith(names)
    assert body["request_id"] == answered.headers["request-id"]


async def post(
    sim: Simulator, content: bytes, headers: dict[str, str] = HEADERS, path: str = PATH
) -> tuple[int, str]:
    """Send any bytes and return the status and the error's type."""
    async with (
        aiohttp.ClientSession(sim.base_url, headers=headers) as session,
        session.post(path, data=io.BytesIO(content)) as answer,
    ):
        return answer.status, (await answer.json()).get("error", {}).get("type", "")


QUESTION = json.dumps(question()).encode()


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"anthropic-version": "1", "authorization": "Bearer "}, 401, "authentication_error"),
        ({"x-api-key": "test"}, 400, "invalid_request_error"),
        ({"anthropic-version": "1", "authorization": "Bearer token"}, 200, ""),
    ],
)
async def test_key_and_version_are_required(
    sim: Simulator, headers: dict[str, str], status: int, kind: str
) -> None:
    """A request without key or token is a 401, one without a version a 400."""
    assert await post(sim, QUESTION, headers) == (status, kind)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": NaN}', b"\xff"])
async def test_a_body_that_is_no_json_object_is_a_400(sim: Simulator, content: bytes) -> None:
    """Whatever the bytes, the answer is an error and the simulator lives."""
    assert await post(sim, content) == (400, "invalid_request_error")
    assert await post(sim, QUESTION) == (200, "")


async def test_a_body_over_32_mib_is_a_413(sim: Simulator) -> None:
    """The API's size limit holds."""
    assert await post(sim, b" " * ((32 << 20) + 1)) == (413, "request_too_large")


async def test_unknown_paths_and_methods_are_refused(sim: Simulator) -> None:
    """Another path is a 404, another method a 405."""
    assert await post(sim, QUESTION, path="/v1/complete") == (404, "not_found_error")
    async with (
        aiohttp.ClientSession(sim.base_url, headers=HEADERS) as session,
        session.get(PATH) as answer,
    ):
        assert answer.status == 405
