"""What a caller gets from the real daemon when nothing goes wrong."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import Daemon
from tests.support.rpc import Caller, read

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_unary_answer_is_complete(caller: Caller) -> None:
    """Everything about an answer is there: text, source, target, usage, attempts, timings."""
    metadata = (("x-request-id", "mine-1"),)
    answer = await caller.Generate(pb.GenerateRequest(prompt="hello"), metadata=metadata)
    assert answer.request_id == "mine-1"
    assert "hello" in answer.text
    assert answer.text == "".join([block.text.text for block in answer.content])
    assert answer.source == pb.SOURCE_UPSTREAM
    assert answer.stop_reason == "end_turn"
    assert answer.model.startswith("simulated-")
    assert answer.target == "claude-sonnet-5-5"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert [attempt.outcome for attempt in answer.attempts] == [pb.Attempt.OUTCOME_ANSWERED]
    first, total = answer.timings.first_event, answer.timings.total
    assert 0 < first.ToNanoseconds() <= total.ToNanoseconds()
    assert not answer.degraded
    assert answer.upstream_request_id


async def test_a_stream_says_the_same(caller: Caller) -> None:
    """A stream delivers the same answer, in order, and its last message has the rest of it."""
    request = pb.GenerateRequest(prompt="hello")
    unary = await caller.Generate(request)
    streamed = await read(caller.StreamGenerate(request))
    assert streamed.failure is None
    assert streamed.text == unary.text
    kinds = [event.WhichOneof("event") for m in streamed.messages for event in m.events]
    assert kinds[:3] == ["started", "usage", "block_started"]
    assert kinds[-1] == "finished"
    assert [m.HasField("response") for m in streamed.messages].count(True) == 1
    last = streamed.messages[-1].response
    assert (last.model, last.usage, last.stop_reason) == (unary.model, unary.usage, "end_turn")
    assert (last.text, list(last.content)) == ("", [])


async def test_a_burst_comes_packed(sim: Simulator, caller: Caller) -> None:
    """Deltas that came in one read of the upstream go out as one message, not one each."""
    sim.play(Script.of({"fault": "none", "pace": {"deltas": 200, "delta_bytes": 20}}))
    streamed = await read(caller.StreamGenerate(pb.GenerateRequest(prompt="burst")))
    deltas = [e for m in streamed.messages for e in m.events if e.HasField("text_delta")]
    assert len(deltas) == 200
    assert len(streamed.messages) < 20


async def test_tokens_are_counted(caller: Caller) -> None:
    """CountTokens says what the upstream says, and more for more."""
    few = await caller.CountTokens(
        pb.CountTokensRequest(request=pb.GenerateRequest(prompt="hello"))
    )
    many = await caller.CountTokens(
        pb.CountTokensRequest(request=pb.GenerateRequest(prompt="hello " * 100))
    )
    assert 0 < few.input_tokens < many.input_tokens
    assert few.target == "claude-sonnet-5-5"


async def test_a_model_can_be_named(caller: Caller) -> None:
    """A model id that the configuration allows is a target of its own."""
    answer = await caller.Generate(pb.GenerateRequest(prompt="hi", model="claude-haiku-5-5"))
    assert (answer.target, answer.model) == ("claude-haiku-5-5", "simulated-claude-haiku-5-5")


async def test_health_is_told_for_each_service(daemon: Daemon) -> None:
    """The standard health service answers for the server and for the service; others NOT_FOUND."""
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        for service in ("", "sidecard.v1.GenerationService"):
            answer = await check(HealthCheckRequest(service=service))
            assert answer.status == HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(HealthCheckRequest(service="nobody"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_client_with_only_reflection_can_call(daemon: Daemon) -> None:
    """A generic client lists the service, learns its types, and calls it."""
    answer = await asyncio.to_thread(_call_by_reflection, daemon.address)
    assert "hello" in answer["text"]
    assert answer["source"] == "SOURCE_UPSTREAM"


def _call_by_reflection(address: str) -> dict[str, Any]:
    """Call Generate knowing nothing but the address, as grpcurl does."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        known = ProtoReflectionDescriptorDatabase(channel)
        [name] = [name for name in known.get_services() if name.startswith("sidecard.")]
        method = DescriptorPool(known).FindServiceByName(name).methods_by_name["Generate"]
        request = GetMessageClass(method.input_type)()
        ParseDict({"prompt": "hello"}, request)
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
            f"/{name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return dict(MessageToDict(call(request, timeout=5)))
