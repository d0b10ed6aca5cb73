"""Whole answers: what is asked arrives, what is answered comes back."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.content_pb2 import ROLE_ASSISTANT, ROLE_USER, ContentBlock, Message, TextBlock
from sidecard_client import AsyncClient, Client, Options
from tests.support.scripted_daemon import (
    CLIENTS,
    AnyClient,
    Generate,
    ScriptedDaemon,
    eventually,
    scripted,
    waiting,
)


def says(response: pb.GenerateResponse) -> Generate:
    """Return a `generate` with that answer."""

    async def generate(_: object, _context: object) -> pb.GenerateResponse:
        return response

    return generate


async def test_a_prompt_gets_its_answer(client: AnyClient) -> None:
    """One line asks, and `.text` is the answer."""
    assert (await client.generate("hello")).text == "hello"


async def test_a_reply_tells_all_about_the_answer(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """Source, model, usage, cost and the rest come as plain attributes, `raw` has everything."""
    daemon.generate = says(
        pb.GenerateResponse(
            request_id="r",
            content=[{"text": {"text": "hi"}}],
            text="hi",
            stop_reason="end_turn",
            model="m",
            target="t",
            source="SOURCE_CACHE_EXACT",
            degraded=True,
            usage={"input_tokens": 3},
            cost_nano_usd=0,
            message_id="msg",
            output_json='{"a":1}',
        )
    )
    reply = await client.generate("hello")
    assert (reply.text, reply.content[0].text.text) == ("hi", "hi")
    assert (reply.stop_reason, reply.model, reply.target) == ("end_turn", "m", "t")
    assert (reply.source, reply.degraded, reply.request_id) == ("CACHE_EXACT", True, "r")
    assert (reply.usage.input_tokens, reply.cost_nano_usd) == (3, 0)
    assert (reply.output_json, reply.raw.message_id) == ('{"a":1}', "msg")


async def test_an_unknown_price_is_none_and_an_unknown_source_its_number(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """A newer daemon's source doesn't break an older client; no price isn't a price of zero."""
    daemon.generate = says(pb.GenerateResponse.FromString(b"\x48\x4d"))  # source: 77
    reply = await client.generate("hello")
    assert (reply.cost_nano_usd, reply.source) == (None, "77")


async def test_every_option_is_a_field(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """Plain Python values become the contract's types; None leaves a field unset."""
    await client.generate(
        messages=[{"role": "user", "content": "hi"}],
        model="fast",
        system=None,
        max_tokens=7,
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        tool_choice={"mode": "MODE_ANY"},
        output_schema={"type": "object", "required": ["a"]},
        cache={"mode": "MODE_BYPASS", "ttl": timedelta(seconds=90)},
        priority="PRIORITY_BATCH",
        labels={"team": "a"},
        tenant="acme",
    )
    asked = daemon.request
    assert (asked.model, asked.max_tokens, asked.system, asked.tenant) == ("fast", 7, "", "acme")
    assert asked.tools[0].input_schema["type"] == "object"
    assert asked.tool_choice.mode == pb.ToolChoice.MODE_ANY
    assert json_format.MessageToDict(asked.output_schema)["required"] == ["a"]
    assert (asked.cache.mode, asked.cache.ttl.seconds) == (pb.CachePolicy.MODE_BYPASS, 90)
    assert (asked.priority, asked.labels["team"]) == (pb.PRIORITY_BATCH, "a")


async def test_enums_have_short_names(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """As the README spells them, in capitals or small, wherever they stand."""
    await client.generate(
        "hi",
        cache={"mode": "ONLY"},
        priority="batch",
        tool_choice={"mode": "any"},
        thinking={"mode": "DISABLED"},
        fallback={"last_resorts": ["stale", "LAST_RESORT_STATIC"]},
    )
    asked = daemon.request
    assert (asked.cache.mode, asked.priority) == (pb.CachePolicy.MODE_ONLY, pb.PRIORITY_BATCH)
    assert asked.tool_choice.mode == pb.ToolChoice.MODE_ANY
    assert asked.thinking.mode == pb.Thinking.MODE_DISABLED
    assert asked.fallback.last_resorts == [pb.LAST_RESORT_STALE, pb.LAST_RESORT_STATIC]


async def test_messages_are_taken_in_any_form(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """A text, a list of texts and blocks, the contract's own type, and a reply's content."""
    block = ContentBlock(text=TextBlock(text="d"))
    await client.generate(
        messages=[
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": ["b", {"text": {"text": "c"}}, block]},
            Message(role=ROLE_USER, content=[block]),
        ]
    )
    asked = daemon.request.messages
    assert [m.role for m in asked] == [ROLE_USER, ROLE_ASSISTANT, ROLE_USER]
    assert [[b.text.text for b in m.content] for m in asked] == [["a"], ["b", "c", "d"], ["d"]]


def test_options_are_the_contract() -> None:
    """Whatever the contract can say, a keyword can."""
    fields = set(pb.GenerateRequest.DESCRIPTOR.fields_by_name)
    assert Options.__optional_keys__ == fields - {"prompt"} | {"timeout_s", "request_id"}


@pytest.mark.parametrize(
    ("options", "kind", "named"),
    [
        ({"max_token": 5}, TypeError, "max_token"),
        ({"messages": [{"role": "robot", "content": "a"}]}, ValueError, r"s\[0\]\.role: 'robot'"),
        ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, ValueError, "name"),
        ({"messages": [{"role": "user", "contents": "a"}]}, ValueError, "content is missing"),
        ({"messages": [{"role": "user", "content": 5}]}, TypeError, r"s\[0\]: .* list of texts"),
        ({"messages": ["a"]}, TypeError, r"messages\[0\]: expected a Message or a dict"),
        ({"tools": [{"nme": "f"}]}, ValueError, "tools: .*nme"),
        ({"tools": "f"}, TypeError, "tools: expected a list, each a Tool or a dict"),
        ({"max_tokens": "5"}, TypeError, "max_tokens: expected a whole number"),
        ({"max_tokens": 2**31}, ValueError, "max_tokens: .*out of range"),
        ({"model": 5}, TypeError, "model: expected text"),
        ({"labels": {"team": 5}}, TypeError, "labels: expected a dict of texts"),
        ({"output_schema": "{}"}, TypeError, "output_schema: expected a dict"),
        ({"priority": "high"}, ValueError, "'high' is not one of INTERACTIVE, BATCH"),
        ({"cache": {"mode": "NO"}}, ValueError, "cache.mode: 'NO' is not one of DEFAULT, BYPASS"),
        ({"cache": {"md": "ONLY"}}, ValueError, "cache: .*md"),
    ],
)
async def test_a_misspelt_argument_is_named(
    daemon: ScriptedDaemon,
    client: AnyClient,
    options: dict[str, Any],
    kind: type[Exception],
    named: str,
) -> None:
    """Nothing is dropped silently, and nothing is sent."""
    with pytest.raises(kind, match=named):
        await client.generate("hi", **options)
    assert daemon.calls == 0


async def test_tokens_are_counted(client: AnyClient) -> None:
    """`count_tokens` takes the same arguments and gives a number."""
    assert await client.count_tokens("12345", system="x") == 5


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_client_has_a_tenant_and_a_timeout_for_all_its_calls(
    daemon: ScriptedDaemon, kind: Callable[..., AnyClient]
) -> None:
    """What the client is told holds for each call that doesn't say otherwise."""
    async with kind(daemon.address, tenant="acme", timeout_s=30) as client:
        await client.generate("a")
        assert daemon.request.tenant == "acme"
        assert 25 < (daemon.time_remaining_s or 0) < 31  # gRPC rounds up
        await client.generate("a", tenant="other", timeout_s=None)
        assert (daemon.request.tenant, daemon.time_remaining_s) == ("other", None)


async def test_every_call_has_a_request_id(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """The caller's own goes out as it is; without one each call gets another."""
    made = set()
    for _ in range(3):
        await client.generate("a")
        made.add(daemon.metadata["x-request-id"])
    await client.generate("a", request_id="mine-1")
    assert daemon.metadata["x-request-id"] == "mine-1"
    assert len(made) == 3


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_socket_file_is_an_address(tmp_path: Path, kind: Callable[..., AnyClient]) -> None:
    """`unix:///path` works as host:port does."""
    async with scripted(f"unix://{tmp_path}/s") as daemon, kind(daemon.address) as client:
        assert (await client.generate("hello")).text == "hello"


async def test_the_environment_says_where_the_daemon_is(
    daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIDECARD_ADDRESS is the default address, and an argument wins over it."""
    monkeypatch.setenv("SIDECARD_ADDRESS", daemon.address)
    async with AsyncClient() as client:
        assert (await client.generate("hello")).text == "hello"
    assert Client("127.0.0.1:1").address == "127.0.0.1:1"


@pytest.mark.parametrize("address", ["http://127.0.0.1:7411", "unix://relative"])
def test_another_kind_of_address_is_refused(address: str) -> None:
    """A URL isn't waited for as if it were a host's name."""
    with pytest.raises(ValueError, match="neither host:port nor unix:///path"):
        Client(address)


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_proxy_is_not_in_the_way(
    daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch, kind: Callable[..., AnyClient]
) -> None:
    """http_proxy is for the world outside, the daemon is beside us."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with kind(daemon.address) as client:
        assert (await client.generate("hello", timeout_s=10)).text == "hello"


async def test_messages_may_be_large(client: AnyClient) -> None:
    """32 MiB go both ways."""
    prompt = "x" * (32 << 20)
    assert len((await client.generate(prompt)).text) == len(prompt)


async def test_a_client_is_shared(client: AnyClient) -> None:
    """Many calls at once each get their own answer."""
    prompts = [str(number) for number in range(20)]
    replies = await asyncio.gather(*[client.generate(prompt) for prompt in prompts])
    assert [reply.text for reply in replies] == prompts


async def test_a_cancelled_task_cancels_its_call(daemon: ScriptedDaemon) -> None:
    """Who stops waiting stops the work, too."""
    daemon.generate = waiting
    async with AsyncClient(daemon.address) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.generate("hello")
        await asyncio.wait_for(daemon.cancelled.wait(), 1)
    assert daemon.cancelled.is_set()


async def test_closing_the_client_cancels_no_task(daemon: ScriptedDaemon) -> None:
    """A call whose client is closed fails; its task isn't taken for cancelled."""
    daemon.generate = waiting
    client = AsyncClient(daemon.address)
    call = asyncio.create_task(client.generate("hello"))
    await eventually(lambda: daemon.calls == 1)
    await client.close()
    with pytest.raises(RuntimeError, match="closed before the answer was whole"):
        await call
