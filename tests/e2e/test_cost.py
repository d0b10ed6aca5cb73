"""What answers cost, through the real daemon: amounts worked out by hand from the price list.

claude-sonnet-5-5 costs 2 dollars a million tokens in, 10 out, 0.1 read from the cache, 2.5 and 4
written to it for five minutes and an hour, and 10 for a thousand searches.
claude-haiku-5-5 costs 0.1 in, 0.5 out and 0.01 read, and five times that above 100,000 tokens in.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import Daemon, running, settings
from tests.support.rpc import Caller, connected, fails, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODULE: Final = "module"
HAIKU: Final = "claude-haiku-5-5"
BARE: Final = {
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
}
Row = tuple[str, dict[str, Any], int]
Ask = Callable[[Caller, str], Awaitable[pb.GenerateResponse]]


def written(for_5m: int, for_1h: int) -> dict[str, Any]:
    split = {"ephemeral_5m_input_tokens": for_5m, "ephemeral_1h_input_tokens": for_1h}
    return {"cache_creation_input_tokens": for_5m + for_1h, "cache_creation": split}


# Model ("" for the route's first), usage, nano-US-dollars.
GOLDEN: Final[list[Row]] = [
    ("", {"input_tokens": 1_000}, 2_000_000),
    ("", {"input_tokens": 1, "output_tokens": 300}, 2_000 + 3_000_000),
    ("", {"cache_read_input_tokens": 5_001}, 500_100),
    ("", written(200, 0), 500_000),
    ("", written(0, 200), 800_000),
    ("", written(101, 99), 252_500 + 396_000),
    (
        "",
        {"input_tokens": 10, "server_tool_use": {"web_search_requests": 3}},
        20_000 + 30_000_000,
    ),
    ("", {"input_tokens": 10, "inference_geo": "us"}, 22_000),
    (
        "",
        {
            "input_tokens": 10,
            "iterations": [
                {"type": "message", "input_tokens": 10, "output_tokens": 0},
                {"type": "compaction", "input_tokens": 7, "output_tokens": 2},
            ],
        },
        20_000 + 14_000 + 20_000,
    ),
    (HAIKU, {"input_tokens": 100_000, "output_tokens": 10}, 10_000_000 + 5_000),
    (HAIKU, {"input_tokens": 100_001, "output_tokens": 10}, 50_000_500 + 25_000),
    (HAIKU, {"input_tokens": 1, "cache_read_input_tokens": 100_000}, 500 + 5_000_000),
    ("claude-opus-5-5", {"input_tokens": 10, "output_tokens": 1, "speed": "fast"}, 80_000 + 40_000),
]


async def in_one_piece(caller: Caller, model: str) -> pb.GenerateResponse:
    return await caller.Generate(pb.GenerateRequest(prompt="hello", model=model, max_tokens=100))


async def folded(caller: Caller, model: str) -> pb.GenerateResponse:
    """Ask for so much that the daemon streams the answer for itself."""
    return await caller.Generate(pb.GenerateRequest(prompt="hello", model=model, max_tokens=9_000))


async def streamed(caller: Caller, model: str) -> pb.GenerateResponse:
    answer = await read(caller.StreamGenerate(pb.GenerateRequest(prompt="hello", model=model)))
    assert answer.failure is None
    return answer.messages[-1].response


WAYS: Final = [in_one_piece, folded, streamed]


@pytest_asyncio.fixture(scope=MODULE, loop_scope=MODULE)
async def daemon(sim: Simulator) -> AsyncIterator[Daemon]:
    """Return a daemon that retries quickly."""
    env = settings(sim.base_url) | {
        "SIDECARD_RETRY__BASE_S": "0.01",
        "SIDECARD_RETRY__BUDGET_FLOOR_PER_S": "100",
        "SIDECARD_BREAKER__MODE": "disabled",
        "SIDECARD_TIMEOUTS__FIRST_EVENT_S": "0.3",
        "SIDECARD_LISTEN__HTTP": "127.0.0.1:0",
        "SIDECARD_PRICES__UNKNOWN": "auto",
        "SIDECARD_ROUTES__DEFAULT__TARGETS": '[{"model": "claude-sonnet-5-5"}]',
    }
    async with running(env) as process:
        yield process


@pytest.mark.parametrize("ask", WAYS)
@pytest.mark.parametrize("row", GOLDEN)
async def test_an_answer_costs_what_the_list_says(
    sim: Simulator, caller: Caller, ask: Ask, row: Row
) -> None:
    """Each field of the usage has its price, however the answer is delivered."""
    model, usage, nano_usd = row
    sim.play(Script.of({"fault": "none", "usage": {**BARE, **usage}}))
    assert (await ask(caller, model)).cost_nano_usd == nano_usd


@pytest.mark.parametrize("ask", WAYS)
async def test_no_price_is_no_cost(sim: Simulator, caller: Caller, ask: Ask) -> None:
    """The cost is left out, and never 0, where the model or the usage isn't known."""
    sim.play(Script.of({"fault": "odd", "what": ["missing_usage"]}))
    assert not (await ask(caller, "")).HasField("cost_nano_usd")
    assert not (await ask(caller, "claude-tomorrow-9")).HasField("cost_nano_usd")
    for count in (10**18, -5):
        sim.play(Script.of({"fault": "none", "usage": {**BARE, "input_tokens": count}}))
        assert not (await ask(caller, "")).HasField("cost_nano_usd")


@pytest.mark.parametrize("ask", WAYS)
async def test_a_refused_attempt_is_free(sim: Simulator, caller: Caller, ask: Ask) -> None:
    """What the upstream answered with an error's status adds nothing to what the answer cost."""
    usage = {**BARE, "input_tokens": 100}
    sim.play(Script.of({"fault": "status", "status": 529}, {"fault": "none", "usage": usage}))
    answer = await ask(caller, "")
    assert (len(answer.attempts), answer.cost_nano_usd) == (2, 200_000)


async def test_a_lost_attempt_has_no_known_cost(sim: Simulator, caller: Caller) -> None:
    """An answer after one that may have been written and billed doesn't claim to know the sum."""
    sim.play(Script.of({"fault": "stall", "after_events": 0}))
    answer = await streamed(caller, "")
    assert len(answer.attempts) == 2
    assert not answer.HasField("cost_nano_usd")


async def test_costs_are_told_everywhere(sim: Simulator, daemon: Daemon, caller: Caller) -> None:
    """The log line, the metrics and the status have the cost, and the list that it is by."""
    usage = {**BARE, "input_tokens": 1_000_000}
    sim.play(Script.of({"fault": "none", "usage": usage, "times": 2}))
    request = pb.GenerateRequest(prompt="hello", tenant="payer")
    answer = await caller.Generate(request)
    line = await daemon.logged("call", request_id=answer.request_id)
    assert line["cost_nano_usd"] == answer.cost_nano_usd == 2_000_000_000
    metrics = await page(daemon, "/metrics")
    labels = 'route="default",target="claude-sonnet-5-5",tenant="payer"'
    assert f"sidecard_cost_dollars_total{{{labels}}} 2.0\n" in metrics
    assert 'sidecard_cost_unknown_total{target="claude-sonnet-5-5"}' in metrics
    assert 'sidecard_prices_info{version="genai-prices ' in metrics
    assert '"genai-prices ' in await page(daemon, "/status.json")


async def test_a_question_that_is_too_large_is_refused(sim: Simulator, caller: Caller) -> None:
    """With max_input_tokens nothing is sent that is estimated to have more, and a fix is named."""
    before = sim.books.requests
    request = pb.GenerateRequest(prompt="many words " * 500, max_input_tokens=1_000)
    failed = await fails(caller.Generate(request))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ["max_input_tokens"])
    assert "shorten it, or raise the limit" in failed.message
    assert sim.books.requests == before
    request.max_input_tokens = 9_000
    assert (await caller.Generate(request)).text


async def test_a_model_without_a_price_is_refused(sim: Simulator) -> None:
    """Unless that is configured; its caller is told the fix, and a configured price is enough."""
    env = settings(sim.base_url) | {
        "SIDECARD_PRICES__MODELS": '{"claude-own-*": {"input": 1.5, "output": "2"}}',
    }
    usage = {**BARE, "input_tokens": 7, "output_tokens": 1}
    before = sim.books.requests
    async with running(env) as daemon, connected(daemon.address) as caller:
        request = pb.GenerateRequest(prompt="hello", model="claude-tomorrow-9")
        failed = await fails(caller.Generate(request))
        assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ["model"])
        assert "no price is known for claude-tomorrow-9" in failed.message
        assert sim.books.requests == before
        sim.play(Script.of({"fault": "none", "usage": usage}))
        answer = await in_one_piece(caller, "claude-own-1")
        assert answer.cost_nano_usd == 7 * 1_500 + 2_000


async def page(daemon: Daemon, path: str) -> str:
    url = f"http://{daemon.admin}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as got:
        return await got.text()


async def test_the_http_endpoint_tells_too(sim: Simulator, daemon: Daemon) -> None:
    """A whole answer in Anthropic's own form has the cost among its headers."""
    sim.play(Script.of({"fault": "none", "usage": {**BARE, "input_tokens": 5}}))
    line = await daemon.logged("serving")
    body = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "hello"}],
    }
    url = f"http://{line['http']}/v1/messages"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as got:
        assert got.headers["x-sidecard-cost-nano-usd"] == "10000"
