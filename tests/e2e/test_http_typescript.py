"""The drop-in endpoint: Anthropic's TypeScript SDK, with nothing changed but its base URL."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.support.daemon import environment
from tests.support.endpoint import ASKED, FAILING, HELLO, MODEL, served
from tests.support.simulator import until
from tests.support.source import ROOT
from tests.support.tools import miss, tool

SDK = "@anthropic-ai/sdk"
DRIVER = ROOT / "tools/sdk.mjs"
LINE_BYTES = 1 << 20

Json = dict[str, Any]
Do = Callable[..., Awaitable[Json]]


@asynccontextmanager
async def sdk(base_url: str) -> AsyncIterator[Do]:
    """Run the SDK in Node until the block ends, and return what has it do a job."""
    node = tool("node")
    if not (ROOT / "tools/node_modules" / SDK).is_dir():
        miss(SDK)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        node, DRIVER, base_url, env=environment(), stdin=pipe, stdout=pipe, limit=LINE_BYTES
    )
    assert child.stdin is not None
    assert child.stdout is not None
    to, answers = child.stdin, child.stdout

    async def do(job: str, **rest: Any) -> Json:
        to.write(json.dumps({"job": job, **rest}).encode() + b"\n")
        async with asyncio.timeout(20):
            report: Json = json.loads(await answers.readline())
        return report

    try:
        yield do
    finally:
        to.close()
        async with asyncio.timeout(20):
            assert await child.wait() == 0


def text_of(message: Json) -> str:
    [block] = message["content"]
    text: str = block["text"]
    return text


async def test_the_sdk_gets_a_whole_answer() -> None:
    """The message that the upstream gave, and in headers where it is from."""
    async with Simulator() as sim, served(sim) as (daemon, base_url), sdk(base_url) as do:
        answered = await do("whole", asked=ASKED)
        message, headers = answered["message"], answered["headers"]
        assert (message["role"], message["stop_reason"]) == ("assistant", "end_turn")
        assert text_of(message)
        assert message["usage"]["output_tokens"] > 0
        assert (headers["x-sidecard-source"], headers["x-sidecard-target"]) == ("UPSTREAM", MODEL)
        assert (headers["x-sidecard-degraded"], headers["x-sidecard-attempts"]) == ("false", "1")
        line = await daemon.logged("call", outcome="completed")
        assert line["request_id"] == headers["x-sidecard-request-id"] == answered["requestId"]
        assert "not looked at" not in str(dict(sim.books.received[-1].headers))


async def test_the_sdk_gets_a_stream() -> None:
    """Accumulated by the SDK itself, it is the message; nothing is lost on the way."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as do:
        whole = (await do("whole", asked=ASKED))["message"]
        streamed = await do("stream", asked=ASKED)
        message = streamed["message"]
        assert "".join(streamed["pieces"]) == text_of(message) == text_of(whole)
        assert len(streamed["pieces"]) > 1
        assert message["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
        assert message["usage"]["input_tokens"] == whole["usage"]["input_tokens"]
        assert message["stop_reason"] == "end_turn"
        assert streamed["headers"]["x-sidecard-source"] == "UPSTREAM"
        counted = await do("count", asked={"model": MODEL, "messages": HELLO})
        assert counted["input_tokens"] == whole["usage"]["input_tokens"]


async def test_the_same_question_costs_once() -> None:
    """As a whole or as a stream; a header of the SDK's call can say otherwise."""
    more = {"cache__enabled": "true"}
    async with Simulator() as sim, served(sim, **more) as (_, base_url), sdk(base_url) as do:
        first = await do("whole", asked=ASKED)
        streamed = await do("stream", asked=ASKED)
        assert text_of(streamed["message"]) == text_of(first["message"])
        assert streamed["headers"]["x-sidecard-source"] == "CACHE_EXACT"
        assert sim.books.requests == 1
        await do("whole", asked=ASKED, headers={"x-sidecard-cache": "bypass"})
        assert sim.books.requests == 2


def status(number: int) -> Json:
    return {"fault": "status", "status": number}


ERRORS: list[tuple[Json, str, int, str]] = [
    (status(529), "OverloadedError", 529, "UPSTREAM_UNAVAILABLE"),
    (status(500), "ServiceUnavailableError", 503, "UPSTREAM_UNAVAILABLE"),
    (status(429), "RateLimitError", 429, "UPSTREAM_THROTTLED"),
    (status(400), "BadRequestError", 400, "UPSTREAM_REFUSED"),
    (status(401), "InternalServerError", 500, "UPSTREAM_MISCONFIGURED"),
    ({"fault": "slow_headers", "delay_s": 30}, "GatewayTimeoutError", 504, "DEADLINE_EXCEEDED"),
]


@pytest.mark.parametrize("job", ["whole", "stream"])
async def test_the_sdk_throws_its_own_errors(job: str) -> None:
    """With the reason in a header; and it tries nothing again that the daemon has tried."""
    async with Simulator() as sim, served(sim, **FAILING) as (_, base_url), sdk(base_url) as do:
        for asked, (fault, kind, number, reason) in enumerate(ERRORS):
            sim.play(Script.of({**fault, "times": "always"}))
            thrown = await do(job, asked=ASKED)
            assert (thrown["kind"], thrown["status"]) == (kind, number), reason
            assert thrown["headers"]["x-sidecard-reason"] == reason
            assert thrown["requestId"] == thrown["headers"]["x-sidecard-request-id"]
            assert sim.books.requests == asked + 1, f"{reason} is tried again"


async def test_a_broken_stream_is_an_error() -> None:
    """Never a clean end: the SDK throws, after what came before."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as do:
        sim.play(Script.of({"fault": "truncate", "after_events": 6, "times": "always"}))
        broken = await do("stream", asked=ASKED)
        assert broken["pieces"]
        assert broken["isApiError"]
        assert "message" not in broken


async def test_who_aborts_ends_upstream() -> None:
    """While the program goes on: the upstream's connection is closed, and the call is over."""
    async with Simulator() as sim, served(sim) as (daemon, base_url), sdk(base_url) as do:
        sim.play(Script.of({"fault": "stall", "after_events": 5, "times": "always"}))
        left = await do("stream", asked=ASKED, leave=True)
        assert left["kind"] == "APIUserAbortError"
        assert left["pieces"]
        await until(lambda: sim.books.requests_open == 0)
        assert (await daemon.logged("call", outcome="abandoned"))["attempts"] == 1
