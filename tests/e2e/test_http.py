"""The drop-in endpoint: Anthropic's own SDK, with nothing changed but its base URL."""

import asyncio
import json
import signal
from typing import Any

import aiohttp
import anthropic
import pytest
from anthropic import GatewayTimeoutError, OverloadedError, ServiceUnavailableError
from anthropic.types import TextBlock

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.support.endpoint import ASKED, FAILING, HELLO, MODEL, served
from tests.support.rawserver import unused_port
from tests.support.simulator import until


def sdk(base_url: str, **more: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=base_url, api_key="not looked at", **more)


def text_of(message: anthropic.types.Message) -> str:
    [block] = message.content
    assert isinstance(block, TextBlock)
    return block.text


async def test_the_sdk_gets_a_whole_answer() -> None:
    """The message that the upstream gave, and in headers where it is from."""
    async with Simulator() as sim, served(sim) as (daemon, base_url), sdk(base_url) as client:
        answered = await client.messages.with_raw_response.create(**ASKED)
        message = await answered.parse()
        assert (message.role, message.stop_reason) == ("assistant", "end_turn")
        assert text_of(message)
        assert message.usage.output_tokens > 0
        headers = answered.headers
        assert (headers["x-sidecard-source"], headers["x-sidecard-target"]) == ("UPSTREAM", MODEL)
        assert (headers["x-sidecard-degraded"], headers["x-sidecard-attempts"]) == ("false", "1")
        line = await daemon.logged("call", outcome="completed")
        assert line["request_id"] == headers["x-sidecard-request-id"] == headers["request-id"]
        assert sim.books.received[-1].headers["authorization"] != "Bearer not looked at"


async def test_the_sdk_gets_a_stream() -> None:
    """Accumulated by the SDK itself, it is the message; nothing is lost on the way."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        whole = await client.messages.create(**ASKED)
        async with client.messages.stream(**ASKED) as stream:
            pieces = [text async for text in stream.text_stream]
            message = await stream.get_final_message()
            headers = stream.response.headers
        assert "".join(pieces) == text_of(message) == text_of(whole)
        assert len(pieces) > 1
        assert message.usage.output_tokens == whole.usage.output_tokens
        assert message.usage.input_tokens == whole.usage.input_tokens
        assert message.stop_reason == "end_turn"
        assert headers["x-sidecard-source"] == "UPSTREAM"


async def test_tool_use_goes_round() -> None:
    """The SDK's own loop calls the tool, gives its result back, and has the answer."""

    @anthropic.beta_async_tool
    async def weather(city: str) -> str:
        """Tell the weather."""
        return f"it rains in {city}"

    hello: Any = {"role": "user", "content": "what does weather say?"}
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        running = client.beta.messages.tool_runner(
            model=MODEL, max_tokens=500, tools=[weather], messages=[hello]
        )
        asks, answers = [message async for message in running]
        assert [asks.stop_reason, answers.stop_reason] == ["tool_use", "end_turn"]
        assert "it rains in" in str(answers.content)
        assert sim.books.requests == 2


async def test_thinking_is_streamed_with_its_signature() -> None:
    """And is what the SDK can give back."""
    thinking: Any = {"type": "enabled", "budget_tokens": 1_024}
    asked = {**ASKED, "max_tokens": 3_000, "thinking": thinking}
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        async with client.messages.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            message = await stream.get_final_message()
        assert {"thinking", "signature", "text"} <= set(kinds)
        thought, _text = message.content
        assert thought.type == "thinking"
        assert thought.signature
        turns = [*HELLO, {"role": "assistant", "content": message.content}, *HELLO]
        again = await client.messages.create(**{**asked, "messages": turns})
        assert again.stop_reason == "end_turn"
        [_, given_back, _] = sim.books.received[-1].body["messages"]
        assert given_back["content"][0]["signature"] == thought.signature


async def test_tokens_are_counted() -> None:
    """As the upstream counts them."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        counted = await client.messages.count_tokens(model=MODEL, messages=HELLO)
        message = await client.messages.create(**ASKED)
        assert counted.input_tokens == message.usage.input_tokens
        raw = await client.messages.with_raw_response.count_tokens(model=MODEL, messages=HELLO)
        assert raw.headers["x-sidecard-request-id"] == raw.headers["request-id"]


async def test_what_the_api_has_besides_is_not_found() -> None:
    """As an SDK knows it, with an id to ask the log for, and not asked again."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        with pytest.raises(anthropic.NotFoundError) as raised:
            await client.models.retrieve(MODEL)
        assert raised.value.request_id
        assert sim.books.requests == 0


async def test_the_same_question_costs_once() -> None:
    """Over gRPC or HTTP, as a whole or as a stream; the header can say otherwise."""
    more = {"cache__enabled": "true"}
    async with Simulator() as sim, served(sim, **more) as (_, base_url), sdk(base_url) as client:
        first = await client.messages.create(**ASKED)
        answered = await client.messages.with_raw_response.create(**ASKED)
        assert text_of(await answered.parse()) == text_of(first)
        assert answered.headers["x-sidecard-source"] == "CACHE_EXACT"
        assert answered.headers["age"] == "0"
        async with client.messages.stream(**ASKED) as stream:
            assert text_of(await stream.get_final_message()) == text_of(first)
        assert sim.books.requests == 1
        await client.messages.create(**ASKED, extra_headers={"x-sidecard-cache": "bypass"})
        await client.messages.create(**ASKED, extra_headers={"x-sidecard-tenant": "other"})
        assert sim.books.requests == 3
        only = {"x-sidecard-cache": "only", "x-sidecard-tenant": "third"}
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**ASKED, extra_headers=only)
        assert sim.books.requests == 3


def status(number: int) -> dict[str, Any]:
    return {"fault": "status", "status": number}


ERRORS: list[tuple[dict[str, Any], type[anthropic.APIStatusError], int, str]] = [
    (status(529), OverloadedError, 529, "UPSTREAM_UNAVAILABLE"),
    (status(500), ServiceUnavailableError, 503, "UPSTREAM_UNAVAILABLE"),
    (status(429), anthropic.RateLimitError, 429, "UPSTREAM_THROTTLED"),
    (status(400), anthropic.BadRequestError, 400, "UPSTREAM_REFUSED"),
    (status(413), anthropic.RequestTooLargeError, 413, "UPSTREAM_REFUSED"),
    (status(401), anthropic.InternalServerError, 500, "UPSTREAM_MISCONFIGURED"),
    ({"fault": "slow_headers", "delay_s": 30}, GatewayTimeoutError, 504, "DEADLINE_EXCEEDED"),
]


@pytest.mark.parametrize(
    ("fault", "kind", "status", "reason"),
    ERRORS,
    ids=[f"{reason} {status}" for *_, status, reason in ERRORS],
)
async def test_the_sdk_raises_its_own_errors(
    fault: dict[str, Any], kind: type[anthropic.APIStatusError], status: int, reason: str
) -> None:
    """With the reason in a header; and it tries nothing again that the daemon has tried."""
    async with (
        Simulator() as sim,
        served(sim, **FAILING) as (_, base_url),
        sdk(base_url) as client,
    ):
        sim.play(Script.of({**fault, "times": "always"}))
        with pytest.raises(anthropic.APIStatusError) as raised:
            await client.messages.create(**ASKED)
        assert (raised.value.status_code, type(raised.value)) == (status, kind)
        assert raised.value.response.headers["x-sidecard-reason"] == reason
        assert raised.value.request_id
        assert sim.books.requests == 1


@pytest.mark.parametrize("told", ["of the client", "of the call"])
async def test_the_sdks_own_timeout_costs_one_attempt(told: str) -> None:
    """The daemon answers just before the SDK would give up, and ask a second and a third time."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        patient = client.with_options(timeout=0.6) if told == "of the client" else client
        more: Any = {"timeout": 0.6} if told == "of the call" else {}
        sim.play(Script.of({"fault": "blackhole", "times": "always"}))
        with pytest.raises(GatewayTimeoutError):
            await patient.messages.create(**ASKED, **more)
        with pytest.raises(GatewayTimeoutError):
            await patient.messages.create(**ASKED, **more, stream=True)
        assert sim.books.requests == 2


async def test_a_stream_may_outlast_the_sdks_timeout() -> None:
    """Which is for the wait until something comes, as it is without sidecard."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        sim.play(Script.of({"fault": "none", "pace": {"deltas": 8, "delta_s": 0.1}}))
        stream = await client.messages.create(**ASKED, stream=True, timeout=0.5)
        assert [event.type async for event in stream][-1] == "message_stop"


async def test_a_stream_ends_with_what_it_cost() -> None:
    """Its headers are gone by then: the last event has it, as the API's own platforms do."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        whole = await client.messages.with_raw_response.create(**ASKED)
        events = [event async for event in await client.messages.create(**ASKED, stream=True)]
        told: Any = events[-1].to_dict()
        cost = whole.headers["x-sidecard-cost-nano-usd"]
        assert told["sidecard"] == {"attempts": 1, "cost_nano_usd": int(cost)}
        assert int(cost) > 0


async def test_a_broken_stream_is_an_error() -> None:
    """Never a clean end: the SDK raises, after what came before."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        sim.play(Script.of({"fault": "truncate", "after_events": 6, "times": "always"}))
        got = list[str]()

        async def collect() -> None:
            async with client.messages.stream(**ASKED) as stream:
                async for text in stream.text_stream:
                    got.append(text)  # what came before it broke counts too

        with pytest.raises(anthropic.APIError):
            await collect()
        assert got


async def test_who_leaves_ends_upstream() -> None:
    """A closed connection closes the upstream's, and the call is over."""
    async with Simulator() as sim, served(sim) as (daemon, base_url), sdk(base_url) as client:
        sim.play(Script.of({"fault": "stall", "after_events": 5, "times": "always"}))
        async with client.messages.stream(**ASKED) as stream:
            async for _ in stream.text_stream:
                break
            assert sim.books.requests_open == 1
        await until(lambda: sim.books.requests_open == 0)
        assert (await daemon.logged("call", outcome="abandoned"))["attempts"] == 1


async def test_betas_travel_as_a_header() -> None:
    """What a program asks of a beta reaches the upstream, header and field."""
    async with Simulator() as sim, served(sim) as (_, base_url), sdk(base_url) as client:
        await client.beta.messages.create(**ASKED, betas=["b-2026-01-01", "a-2025-01-01"])
        received = sim.books.received[-1]
        assert received.headers["anthropic-beta"] == "a-2025-01-01,b-2026-01-01"
        assert "betas" not in received.body


REFUSED: list[tuple[dict[str, str], str, Any, int, str]] = [
    ({}, "/v1/messages", {}, 400, "model"),
    ({}, "/v1/messages", {**ASKED, "messages": []}, 400, "messages"),
    ({}, "/v1/messages", {**ASKED, "messages": ["hi"]}, 400, "messages[0]"),
    ({}, "/v1/messages", {**ASKED, "max_tokens": 0}, 400, "max_tokens"),
    ({}, "/v1/messages", {**ASKED, "max_tokens": True}, 400, "max_tokens"),
    ({}, "/v1/messages", {**ASKED, "model": "claude-x", "max_tokens": 2**31}, 400, "max_tokens"),
    ({}, "/v1/messages", {**ASKED, "stream": "yes"}, 400, "stream"),
    ({}, "/v1/messages", {**ASKED, "model": "gpt"}, 400, 'unknown route or model "gpt"'),
    ({}, "/v1/messages", [], 400, "body"),
    ({}, "/v1/messages", None, 400, "body"),
    ({"x-sidecard-tenant": "no tenant"}, "/v1/messages", ASKED, 400, "x-sidecard-tenant"),
    ({"x-sidecard-cache": "maybe"}, "/v1/messages", ASKED, 400, "x-sidecard-cache"),
    ({"anthropic-beta": "a b"}, "/v1/messages", ASKED, 400, "anthropic-beta"),
    ({}, "/v1/models", ASKED, 404, "/v1/messages"),
    ({"origin": "http://127.0.0.1"}, "/v1/messages", ASKED, 403, "browser"),
    ({"host": "evil.example:7413"}, "/v1/messages", ASKED, 421, "evil.example"),
    ({"content-type": "text/plain"}, "/v1/messages", ASKED, 415, "application/json"),
]


async def test_bad_requests_are_told_and_cost_nothing() -> None:
    """Each with its field and the fix, in the API's own form; nothing is sent upstream."""
    async with (
        Simulator() as sim,
        served(sim) as (daemon, base_url),
        aiohttp.ClientSession(base_url) as http,
    ):
        for headers, path, body, status, told in REFUSED:
            data = b"{" if body is None else json.dumps(body).encode()
            given = {"content-type": "application/json", **headers}
            async with http.post(path, data=data, headers=given) as answer:
                found = await answer.json()
            assert (answer.status, found["type"]) == (status, "error"), (headers, body)
            assert told in found["error"]["message"]
        async with http.get("/v1/messages") as answer:
            assert answer.status == 405
        assert sim.books.requests == 0
        assert not [line for line in daemon.lines if line.get("level") == "error"]


async def test_a_large_request_is_refused() -> None:
    """Whatever its head says of its size."""
    more = {"listen__max_message_bytes": "65536"}
    async with (
        Simulator() as sim,
        served(sim, **more) as (_, base_url),
        aiohttp.ClientSession(base_url) as http,
    ):
        asked = {**ASKED, "messages": [{"role": "user", "content": "x" * 100_000}]}
        async with http.post("/v1/messages", json=asked) as answer:
            assert answer.status == 413
            told = (await answer.json())["error"]
            assert told["type"] == "request_too_large"
            assert "listen.max_message_bytes" in told["message"]


async def test_running_calls_finish_after_sigterm() -> None:
    """A stream that is under way is delivered whole; then the daemon is gone, with status 0."""
    async with Simulator() as sim, served(sim) as (daemon, base_url), sdk(base_url) as client:
        sim.play(Script.of({"fault": "slow_headers", "delay_s": 0.5, "times": "always"}))
        asking = asyncio.ensure_future(client.messages.create(**ASKED))
        await until(lambda: sim.books.requests_open == 1)
        daemon.signal(signal.SIGTERM)
        assert text_of(await asking)
        assert await daemon.ended() == 0


async def test_what_takes_too_long_after_sigterm_is_told() -> None:
    """When the grace is over the call ends with a status, and the stop isn't held up."""
    more = {"listen__grace_s": "0.2"}
    async with (
        Simulator() as sim,
        served(sim, **more) as (daemon, base_url),
        sdk(base_url) as client,
    ):
        sim.play(Script.of({"fault": "slow_headers", "delay_s": 4, "times": "always"}))
        asking = asyncio.ensure_future(client.messages.create(**ASKED))
        await until(lambda: sim.books.requests_open == 1)
        daemon.signal(signal.SIGTERM)
        with pytest.raises(anthropic.InternalServerError) as raised:
            await asking
        assert raised.value.response.headers["x-sidecard-reason"] == "SHUTTING_DOWN"
        assert await daemon.ended() == 0


async def test_a_port_that_is_taken_is_told() -> None:
    """At the start, with the field."""
    port = unused_port()
    blocker = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with Simulator() as sim:
        with pytest.raises(AssertionError, match=r"listen\.http"):
            async with served(sim, listen__http=f"127.0.0.1:{port}"):
                pass
    blocker.close()
