"""What a route takes and what is hidden, through the real daemon, over gRPC and HTTP."""

import json
from typing import Any

import aiohttp

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import content_pb2
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import running, settings
from tests.support.rawserver import unused_port
from tests.support.rpc import connected, fails, read

MAIL = "bob@example.com"
TARGETS = [{"model": "claude-sonnet-5-5"}]
STRICT = {
    "max_bytes": "2000",
    "content": "[text]",
    "tools": "[]",
    "tenants": "[team-*, default]",
    "redact": "[email, staff]",
}


def configured(sim: Simulator, **more: str) -> dict[str, str]:
    return settings(sim.base_url) | {
        "SIDECARD_ROUTES__DEFAULT__TARGETS": json.dumps(TARGETS),
        "SIDECARD_ROUTES__STRICT__TARGETS": json.dumps(TARGETS),
        **{f"SIDECARD_ROUTES__STRICT__INPUT__{k.upper()}": v for k, v in STRICT.items()},
        "SIDECARD_REDACTION__PATTERNS": '{staff: "E-[0-9]{5}"}',
        **more,
    }


def picture() -> content_pb2.Message:
    block = content_pb2.ContentBlock(image={"url": "https://example.com/a.png"})
    return content_pb2.Message(role=content_pb2.ROLE_USER, content=[block])


async def test_what_a_route_does_not_take_is_refused_before_it_is_sent() -> None:
    """In each method, with the field and the rule; another route takes it."""
    tool = pb.Tool(name="look", input_schema={"type": "object"})
    refused = (
        (pb.GenerateRequest(model="strict", prompt="x" * 3_000), "messages"),
        (pb.GenerateRequest(model="strict", messages=[picture()]), "messages[0].content[0]"),
        (pb.GenerateRequest(model="strict", prompt="hi", tenant="other"), "tenant"),
        (pb.GenerateRequest(model="strict", prompt="hi", tools=[tool]), "tools[0]"),
    )
    async with (
        Simulator() as sim,
        running(configured(sim)) as daemon,
        connected(daemon.address) as caller,
    ):
        for request, field in refused:
            failures = [
                (await fails(caller.Generate(request)), ""),
                ((await read(caller.StreamGenerate(request))).failure, ""),
                (
                    await fails(caller.CountTokens(pb.CountTokensRequest(request=request))),
                    "request.",
                ),
            ]
            for failure, prefix in failures:
                assert failure is not None
                assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_CALL")
                assert failure.fields == [prefix + field]
                assert "by route strict" in failure.message
        assert sim.books.requests == 0
        for request, _ in refused:
            elsewhere = pb.GenerateRequest()
            elsewhere.CopyFrom(request)
            elsewhere.model = ""
            assert (await caller.Generate(elsewhere)).text


async def test_what_is_hidden_never_leaves() -> None:
    """Neither the upstream nor the log sees it, whichever way the call came."""
    port = unused_port()
    http = f"http://127.0.0.1:{port}/v1/messages"
    asked = f"Tell {MAIL} and E-12345 that it rains"
    async with (
        Simulator() as sim,
        running(configured(sim, SIDECARD_LISTEN__HTTP=f"127.0.0.1:{port}")) as daemon,
        connected(daemon.address) as caller,
        aiohttp.ClientSession() as session,
    ):
        request = pb.GenerateRequest(model="strict", prompt=asked, system=f"You serve {MAIL}.")
        await caller.Generate(request)
        await read(caller.StreamGenerate(request))
        await caller.CountTokens(pb.CountTokensRequest(request=request))
        body: dict[str, Any] = {"model": "strict", "max_tokens": 10, "system": f"For {MAIL}"}
        body["messages"] = [{"role": "user", "content": asked}]
        async with session.post(http, json=body) as answer:
            assert answer.status == 200
        assert len(sim.books.received) == 4
        for received in sim.books.received:
            sent = json.dumps(received.body)
            assert "Tell [email] and [staff] that it rains" in sent
            assert MAIL not in sent
        said = f"{MAIL} is not a valid user_id"
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": said}}
        sim.play(Script.of({"fault": "status", "status": 400, "body": error}))
        failed = await fails(caller.Generate(pb.GenerateRequest(prompt="hello")))
        assert MAIL in failed.message
        line = await daemon.logged("call", outcome="failed")
        assert "[email] is not a valid user_id" in line["error_message"]
        assert MAIL not in json.dumps(daemon.lines)
