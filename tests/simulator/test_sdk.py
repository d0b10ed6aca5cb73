"""The Anthropic SDK's own client works against the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
import pytest_asyncio

from sidecard.simulator.script import HEADER
from sidecard.simulator.server import Simulator
from tests.support.simulator import Json, question

TOOL: Json = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}

CASES: dict[str, Json] = {
    "text": {},
    "cut": {"max_tokens": 5},
    "stopped": {"stop_sequences": ["simulated"]},
    "tool": {"tools": [TOOL], "tool_choice": {"type": "any"}},
    "thinking": {"thinking": {"type": "adaptive"}},
    "thinking, then a tool": {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 2000,
        "tools": [TOOL],
        "messages": [{"role": "user", "content": "call get_weather"}],
    },
    "json": {"output_config": {"format": {"type": "json_schema", "schema": TOOL["input_schema"]}}},
    "cached": {"system": "Be brief.", "cache_control": {"type": "ephemeral"}},
    "nothing": {"max_tokens": 0},
}


@pytest_asyncio.fixture
async def client(sim: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Return the SDK's client, which retries nothing."""
    async with anthropic.AsyncAnthropic(
        base_url=sim.base_url, api_key="test", max_retries=0
    ) as client:
        yield client


async def streamed(client: anthropic.AsyncAnthropic, asked: Json, step: str = "") -> Json:
    """Return the message that the SDK accumulates from a stream."""
    headers = {HEADER: step} if step else {}
    async with client.messages.stream(**asked, extra_headers=headers) as stream:
        return (await stream.get_final_message()).to_dict()


@pytest.mark.parametrize("name", CASES)
async def test_a_stream_adds_up_to_the_unary_message(
    client: anthropic.AsyncAnthropic, name: str
) -> None:
    """By the SDK's own accumulation, for every kind of content."""
    asked = question(**CASES[name])
    await client.messages.create(**asked)
    unary: Any = await client.messages.create(**asked)
    stream = await streamed(client, asked)
    assert stream == unary.to_dict()
    assert unary.model == "simulated-model-1"


async def test_text_arrives_in_pieces(client: anthropic.AsyncAnthropic) -> None:
    """The SDK's text stream yields what the message holds."""
    async with client.messages.stream(**question("stream this")) as stream:
        pieces = [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()
    assert len(pieces) > 3
    assert [{"type": "text", "text": "".join(pieces)}] == message.to_dict()["content"]


async def test_a_conversation_with_a_tool(client: anthropic.AsyncAnthropic) -> None:
    """A call, its result, and the text that ends it."""
    asked = question(**CASES["tool"])
    call: Any = await client.messages.create(**asked)
    result = {"type": "tool_result", "tool_use_id": call.content[0].id, "content": "sunny"}
    asked["messages"] += [call.to_param(), {"role": "user", "content": [result]}]
    answer: Any = await client.messages.create(**asked)
    assert call.content[0].input == {"city": "simulated"}
    assert "sunny" in answer.content[0].text


async def test_tokens_are_counted(client: anthropic.AsyncAnthropic) -> None:
    """count_tokens agrees with the usage."""
    asked = question("count me")
    message: Any = await client.messages.create(**asked)
    del asked["max_tokens"]
    counted = await client.messages.count_tokens(**asked)
    assert counted.input_tokens == message.usage.input_tokens


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ('{"fault": "status", "status": 429}', anthropic.RateLimitError),
        ('{"fault": "status", "status": 529}', anthropic.InternalServerError),
        ('{"fault": "error"}', anthropic.APIStatusError),
        ('{"fault": "error", "after_events": 5}', anthropic.APIStatusError),
        ('{"fault": "reset"}', anthropic.APIConnectionError),
    ],
)
async def test_faults_are_the_sdks_errors(
    client: anthropic.AsyncAnthropic, step: str, error: type[Exception]
) -> None:
    """The SDK reads a fault as it reads the API's."""
    with pytest.raises(error):
        await streamed(client, question(), step)


@pytest.mark.parametrize(
    "framing",
    [
        '{"split_bytes": 1}',
        '{"newline": "crlf", "split_bytes": 3}',
        '{"newline": "cr", "comments": true}',
        '{"unknown_events": true, "split_data": true, "space": false}',
    ],
)
async def test_the_sdk_reads_every_framing(client: anthropic.AsyncAnthropic, framing: str) -> None:
    """Unusual bytes are the same message to the SDK: they are within the format."""
    asked = question("héllo 漢字 🙂")
    step = framing.replace("{", '{"fault": "framing", ', 1)
    assert await streamed(client, asked, step) == await streamed(client, asked)
