"""Hits that come again and again, from the same bytes: the shortest way through a real daemon."""

from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import running, settings
from tests.support.reloading import metric
from tests.support.rpc import connected

QUESTION = pb.GenerateRequest(prompt="please say it again")


async def test_each_hit_is_told() -> None:
    """With its own id, age and line; and it is counted when somebody looks."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_CACHE__ENABLED": "true"}
        async with running(env) as daemon, connected(daemon.address) as caller:
            first = await caller.Generate(QUESTION)
            answers = [
                await caller.Generate(QUESTION, metadata=(("x-request-id", f"again-{number}"),))
                for number in range(20)
            ]
            assert {answer.source for answer in answers} == {pb.SOURCE_CACHE_EXACT}
            assert {answer.text for answer in answers} == {first.text}
            assert [answer.request_id for answer in answers] == [f"again-{n}" for n in range(20)]
            ages = [answer.age.ToTimedelta() for answer in answers]
            assert ages == sorted(ages)
            hits = 'sidecard_cache_calls_total{result="hit",route="default"}'
            assert await metric(daemon, hits) == 20
            assert await metric(daemon, 'sidecard_rpcs_total{code="OK",method="Generate"}') == 21
            for answer in answers:
                await daemon.logged("call", request_id=answer.request_id, source="cache_exact")
        assert sim.books.requests == 1
