"""A program that names a model over HTTP: alone, or as a route with stand-ins and budgets."""

import json
from pathlib import Path

import anthropic
import pytest
from anthropic import OverloadedError

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.support.endpoint import ASKED, MODEL, served

HAIKU = "claude-haiku-5-5"
TARGETS = [{"model": MODEL}, {"model": HAIKU}]
NAMED = {"targets": TARGETS, "last_resorts": ["static"], "static_message": "Not just now."}
LIKE_THE_MODEL = {
    "upstream": {"models": []},
    "routes": {"default": {"targets": TARGETS}, MODEL: NAMED},
    "budgets": {"limits": [{"name": "two", "route": MODEL, "calls": 2, "per": "day"}]},
}
ALWAYS_DOWN = {"fault": "status", "status": 529, "times": "always"}
MODEL_DOWN = Script.of({**ALWAYS_DOWN, "match": {"model": MODEL}})


def sdk(base_url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=base_url, api_key="not looked at", max_retries=0)


async def test_a_model_has_no_stand_in_a_route_has() -> None:
    """Who names a model gets that model or an error; who names the route gets its next target."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        sim.play(MODEL_DOWN)
        with pytest.raises(OverloadedError):
            await client.messages.create(**ASKED)
        assert sim.books.requests == 1
        answered = await client.messages.with_raw_response.create(**{**ASKED, "model": "default"})
        assert answered.headers["x-sidecard-target"] == HAIKU
        assert answered.headers["x-sidecard-degraded"] == "true"


async def test_a_route_named_like_a_model_stands_in_for_it(tmp_path: Path) -> None:
    """With `upstream.models: []`, an unchanged program has what the route has, budget included."""
    file = tmp_path / "sidecard.yaml"
    file.write_text(json.dumps(LIKE_THE_MODEL))
    async with (
        Simulator() as sim,
        served(sim, config=str(file)) as (_, base_url),
        sdk(base_url) as client,
    ):
        answers = list[tuple[str, str]]()
        for script in (MODEL_DOWN, Script.of(ALWAYS_DOWN), Script.of()):
            sim.play(script)
            headers = (await client.messages.with_raw_response.create(**ASKED)).headers
            answers.append((headers["x-sidecard-source"], headers.get("x-sidecard-target", "")))
        assert answers == [("UPSTREAM", HAIKU), ("STATIC", ""), ("UPSTREAM", MODEL)]
        with pytest.raises(anthropic.APIStatusError) as raised:
            await client.messages.create(**ASKED)
        assert raised.value.response.headers["x-sidecard-reason"] == "BUDGET_EXHAUSTED"
