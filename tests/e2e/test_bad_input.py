"""Bad input through the real daemon: a status that names the field, and nothing sent upstream."""

from typing import Any

import grpc
import pytest

from sidecard.simulator.server import Simulator
from sidecard.v1 import content_pb2
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import Daemon, running, settings
from tests.support.rpc import UNLIMITED, Caller, connected, fails, failure

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
USER = {"role": "ROLE_USER", "content": [{"text": {"text": "hi"}}]}
ASSISTANT = {"role": "ROLE_ASSISTANT", "content": [{"text": {"text": "hi"}}]}
NO_PICTURE = {"image": {"data": b"no picture", "media_type": "image/png"}}

ROWS: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": " \n"}, "prompt"),
    ({"prompt": "hi", "messages": [USER]}, "prompt"),
    ({"messages": [ASSISTANT]}, "messages"),
    ({"prompt": "hi", "max_tokens": 0}, "max_tokens"),
    ({"prompt": "hi", "max_tokens": -1}, "max_tokens"),
    ({"prompt": "hi", "max_tokens": 128_001}, "max_tokens"),
    ({"messages": [USER] * 10_001}, "messages"),
    ({"messages": [{**USER, "content": [NO_PICTURE]}]}, "messages[0].content[0].image.data"),
    (
        {"prompt": "hi", "tools": [{"name": "t", "input_schema": {"type": "objekt"}}]},
        "tools[0].input_schema",
    ),
    ({"prompt": "hi", "tenant": "-no tenant-"}, "tenant"),
    ({"prompt": "hi", "model": "gpt-4"}, "model"),
    ({"prompt": "hi", "extra": {"stream": True}}, "extra.stream"),
]


@pytest.mark.parametrize(("fields", "field"), ROWS, ids=[field for _, field in ROWS])
async def test_a_mistake_names_its_field(
    fields: dict[str, Any], field: str, sim: Simulator, caller: Caller
) -> None:
    """INVALID_ARGUMENT with the violation, in all three methods, before anything is sent."""
    before = sim.books.requests
    request = pb.GenerateRequest(**fields)
    failed = await fails(caller.Generate(request))
    assert (failed.code, failed.reason, failed.fields) == (
        "INVALID_ARGUMENT",
        "INVALID_CALL",
        [field],
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in caller.StreamGenerate(request):
            pass
    assert failure(raised.value).fields == [field]
    counted = await fails(caller.CountTokens(pb.CountTokensRequest(request=request)))
    assert counted.fields == [f"request.{field}"]
    assert sim.books.requests == before


async def test_a_message_too_large_is_named(sim: Simulator, caller: Caller) -> None:
    """33 MiB are refused with the limit, before anything is sent."""
    before = sim.books.requests
    failed = await fails(caller.Generate(pb.GenerateRequest(prompt="x" * 33 * MIB)))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ["request"])
    assert "33,554,432" in failed.message
    assert sim.books.requests == before


async def test_a_large_message_is_sent_on(sim: Simulator) -> None:
    """What is within the limit reaches the upstream whole: 27 MiB of it, as base64."""
    picture = content_pb2.ContentBlock(
        document=content_pb2.DocumentBlock(data=b"%PDF-1.7\n" + b"x" * 20 * MIB + b"\n%%EOF\n")
    )
    message = content_pb2.Message(role=content_pb2.ROLE_USER, content=[picture])
    async with running(settings(sim.base_url)) as patient, connected(patient.address) as caller:
        assert (await caller.Generate(pb.GenerateRequest(messages=[message]), timeout=40)).text
    assert sim.books.received[-1].body["messages"][0]["content"][0]["type"] == "document"


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xff\xff", b"\x12\x02\xff\xfe", b"\x9a\x01" + b"\x0a" * 5_000],
    ids=["garbage", "invalid UTF-8", "deep nonsense"],
)
async def test_bytes_that_are_no_message(payload: bytes, daemon: Daemon, caller: Caller) -> None:
    """Bytes that don't parse are INVALID_ARGUMENT, not INTERNAL, and the daemon serves on."""
    async with grpc.aio.insecure_channel(daemon.address, options=UNLIMITED) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/sidecard.v1.GenerationService/Generate"
        )
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(payload)
    assert failure(raised.value).code == "INVALID_ARGUMENT"
    assert failure(raised.value).fields == ["request"]
    assert (await caller.Generate(pb.GenerateRequest(prompt="hi"))).text


async def test_json_a_thousand_deep_is_refused(caller: Caller) -> None:
    """Nesting that no parser here would survive is refused at the edge."""
    depth = 1_000
    block = content_pb2.ContentBlock(raw_json='{"type":"x","a":' + "[" * depth + "]" * depth + "}")
    message = content_pb2.Message(role=content_pb2.ROLE_USER, content=[block])
    failed = await fails(caller.Generate(pb.GenerateRequest(messages=[message])))
    assert (failed.code, failed.fields) == (
        "INVALID_ARGUMENT",
        ["messages[0].content[0].raw_json"],
    )


async def test_an_id_cannot_forge_a_line(daemon: Daemon, caller: Caller) -> None:
    """A request id with odd characters is replaced, and each call is one line of the log."""
    metadata = (("x-request-id", 'a" b {"event":"forged"}'),)
    answer = await caller.Generate(pb.GenerateRequest(prompt="hi"), metadata=metadata)
    line = await daemon.logged("call", request_id=answer.request_id)
    assert line["outcome"] == "completed"
    assert not [line for line in daemon.lines if line.get("event") in {"forged", ""}]


async def test_the_daemon_lives_on(daemon: Daemon, caller: Caller) -> None:
    """After all of that nothing is a bug, and the process is the same."""
    assert (await caller.Generate(pb.GenerateRequest(prompt="hi"))).text
    assert daemon.process.returncode is None
    assert not [line for line in daemon.lines if line.get("event") == "a bug"]
