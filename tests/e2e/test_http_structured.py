"""Structured output over the drop-in endpoint, as Anthropic's own SDK asks for it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import anthropic
import pytest
from pydantic import BaseModel

from sidecard.server.http.structured import schema_of
from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.support.endpoint import ASKED, served

GOOD = '{"price":0.10,"product_id":"P1"}'
ODD = 'Sure!\n```json\n{"product_id": "P1", "price": 0.10,}\n```\nAnything else?'
HACKED = '{"product_id": "HACKED", "price": 1}'


class Product(BaseModel):
    """What the model has to answer."""

    product_id: Literal["P1", "P2"]
    price: float


SCHEMA = anthropic.transform_schema(Product)
FORMAT: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}

OUTPUT: dict[str, Any] = {"output_config": FORMAT}


def say(*texts: str) -> Script:
    return Script.of(*[{"fault": "say", "text": text} for text in texts])


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Simulator, anthropic.AsyncAnthropic]]:
    more = {"cache__enabled": "true"}
    async with (
        Simulator() as sim,
        served(sim, **more) as (_, base_url),
        anthropic.AsyncAnthropic(base_url=base_url, api_key="any") as client,
    ):
        yield sim, client


async def test_the_sdk_parses_whatever_the_model_wrote() -> None:
    """As it was written where that is JSON; else the JSON alone, which a header tells."""
    async with asking() as (sim, client):
        sim.play(say('{"product_id": "P2", "price": 3}', ODD))
        for name, price, told in (("P2", 3.0, None), ("P1", 0.1, "mended")):
            asked = {**ASKED, "messages": [{"role": "user", "content": name}]}
            message = await client.messages.parse(**asked, output_format=Product)
            assert message.parsed_output == Product.model_validate(
                {"product_id": name, "price": price}
            )
            # The same question again, whose answer is kept as it was written.
            raw = await client.messages.with_raw_response.create(**asked, **OUTPUT)
            assert raw.headers["x-sidecard-source"] == "CACHE_EXACT"
            assert raw.headers.get("x-sidecard-output") == told
        assert sim.books.received[-1].body["output_config"] == FORMAT


async def test_an_injection_is_asked_again_and_then_an_error() -> None:
    """The SDK's own, with the text and what is wrong in its body; nothing wrong is kept."""
    async with asking() as (sim, client):
        sim.play(say(HACKED, GOOD, *[HACKED] * 3))
        once = await client.messages.with_raw_response.create(**ASKED, **OUTPUT)
        assert once.headers["x-sidecard-attempts"] == "2"
        assert "HACKED" not in await once.text()
        again = await client.messages.with_raw_response.create(**ASKED, **OUTPUT)
        assert again.headers["x-sidecard-source"] == "CACHE_EXACT"
        other: Any = [{"role": "user", "content": "other"}]
        with pytest.raises(anthropic.InternalServerError) as raised:
            await client.messages.create(**{**ASKED, "messages": other, **OUTPUT})
        assert raised.value.response.headers["x-sidecard-reason"] == "INVALID_OUTPUT"
        assert isinstance(raised.value.body, dict)
        told = raised.value.body["error"]["output"]
        assert told["text"] == HACKED
        assert [violation["path"] for violation in told["violations"]] == ["/product_id"]
        assert "HACKED" not in raised.value.body["error"]["message"]


async def test_a_stream_that_is_no_answer_ends_with_an_error() -> None:
    """It is as the model wrote it; without a `message_stop`, so that nobody takes it for one."""
    async with asking() as (sim, client):
        sim.play(say(GOOD, HACKED))
        other: Any = [{"role": "user", "content": "other"}]
        async with client.messages.stream(**ASKED, **OUTPUT) as stream:
            assert await stream.get_final_text() == GOOD
        kinds = []
        with pytest.raises(anthropic.APIStatusError) as raised:
            async with client.messages.stream(**{**ASKED, "messages": other, **OUTPUT}) as stream:
                kinds = [event.type async for event in stream]
        assert "message_stop" not in kinds
        assert "output_schema" in str(raised.value.body)


async def test_a_schema_that_cannot_be_used_costs_nothing() -> None:
    """It is the caller's error, with its place; counting tokens has no need of it."""
    async with asking() as (sim, client):
        schema = {"type": "object", "properties": {"a": {"type": "text"}}}
        config: Any = {"format": {"type": "json_schema", "schema": schema}}
        with pytest.raises(anthropic.BadRequestError) as raised:
            await client.messages.create(**ASKED, output_config=config)
        assert "/properties/a/type" in raised.value.message
        assert sim.books.requests == 0
        broken: Any = {"format": {"type": "json_schema", "schema": {"properties": [1]}}}
        asked = {key: value for key, value in ASKED.items() if key != "max_tokens"}
        counted = await client.messages.count_tokens(**asked, output_config=broken)
        assert counted.input_tokens > 0


async def test_a_form_of_another_time_is_the_upstreams_to_judge() -> None:
    """It goes as it is, and nothing is checked."""
    async with asking() as (sim, client):
        config: Any = {"format": {"type": "grammar", "schema": {"type": "text"}}, "effort": "low"}
        await client.messages.create(**ASKED, output_config=config)
        sent: Any = json.loads(json.dumps(dict(sim.books.received[-1].body)))
        assert sent["output_config"] == config


@pytest.mark.parametrize(
    "config",
    [5, "format", [], {}, {"format": 5}, {"format": {"type": "json_schema", "schema": "x"}}],
)
def test_what_is_no_schema_is_none(config: Any) -> None:
    """Whatever stands in its place."""
    assert schema_of({"output_config": config}) is None
