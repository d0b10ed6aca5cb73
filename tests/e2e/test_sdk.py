"""The daemon on the SDK's transport: other credentials, the same answers."""

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import ONCE, running, settings
from tests.support.rpc import connected, fails, read

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")


@pytest.mark.timeout(120)
async def test_the_sdk_answers_alike() -> None:
    """A bearer token goes through the SDK; answers, streams, counts and faults are the same."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | ONCE | {"ANTHROPIC_AUTH_TOKEN": "token-0123456789"}
        del env["ANTHROPIC_API_KEY"]
        async with running(env) as daemon, connected(daemon.address) as caller:
            serving = await daemon.logged("serving")
            assert serving["upstream"].startswith("<Sdk anthropic")
            answer = await caller.Generate(QUESTION)
            assert answer.text
            assert sim.books.received[-1].headers["authorization"] == "Bearer token-0123456789"
            streamed = await read(caller.StreamGenerate(QUESTION))
            assert (streamed.failure, streamed.text) == (None, answer.text)
            counted = await caller.CountTokens(pb.CountTokensRequest(request=QUESTION))
            assert counted.input_tokens == answer.usage.input_tokens
            sim.play(Script.of({"fault": "status", "status": 529}))
            assert (await fails(caller.Generate(QUESTION))).reason == "UPSTREAM_UNAVAILABLE"
            assert sim.books.faults["status"] == 1
            sim.play(Script.of({"fault": "truncate", "after_events": 6}))
            streamed = await read(caller.StreamGenerate(QUESTION))
            assert streamed.failure is not None
            assert streamed.failure.reason == "UPSTREAM_INTERRUPTED"
