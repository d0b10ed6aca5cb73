"""Callers that leave, are slow, or run out of time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import grpc
import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import ONCE, Daemon, running, settings
from tests.support.rpc import Caller, connected, fails, failure, read
from tests.support.simulator import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")
CLOSES_WITHIN_S = 0.1


async def seconds_until(condition: Callable[[], object]) -> float:
    """Return how long it took until the condition held."""
    began = asyncio.get_running_loop().time()
    await until(condition)
    return asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("step", [{"fault": "blackhole"}, {"fault": "stall"}], ids=["before", "in"])
@pytest.mark.parametrize("mode", ["unary", "stream"])
async def test_leaving_closes_the_upstream(
    mode: str, step: dict[str, object], sim: Simulator, daemon: Daemon, caller: Caller
) -> None:
    """A caller who cancels, before or in the middle, has the upstream closed within 100 ms."""
    sim.play(Script.of(step))
    call = caller.Generate(QUESTION) if mode == "unary" else caller.StreamGenerate(QUESTION)
    task = asyncio.ensure_future(read(call) if mode == "stream" else call)  # type: ignore[arg-type]
    await until(lambda: sim.books.open)
    if step["fault"] == "stall":
        await asyncio.sleep(0.05)
    call.cancel()
    took_s = await seconds_until(lambda: not sim.books.open)
    assert took_s < CLOSES_WITHIN_S
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
        await task
    await daemon.logged("call", outcome="abandoned", mode=mode)


def _waited(call: Awaitable[object]) -> asyncio.Task[object]:
    async def wait() -> object:
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            return await call
        return None

    return asyncio.create_task(wait())


@pytest.mark.parametrize("mode", ["unary", "stream"])
@pytest.mark.parametrize("ending", ["caller", "timeout"])
async def test_what_was_used_before_the_answer_is_known(
    ending: str, mode: str, sim: Simulator, daemon: Daemon, caller: Caller
) -> None:
    """Input that the upstream has counted is in the log, also if nobody saw any content."""
    sim.play(Script.of({"fault": "slow_first_event", "delay_s": 9, "preamble": True}))
    mine = (("x-request-id", f"used-{ending}-{mode}"),)
    request = pb.GenerateRequest(prompt=QUESTION.prompt, max_tokens=100_000)
    if mode == "unary":
        unary = caller.Generate(request, metadata=mine)
        cancel, task = unary.cancel, asyncio.ensure_future(asyncio.wait([_waited(unary)]))
    else:
        stream = caller.StreamGenerate(request, metadata=mine)
        cancel, task = stream.cancel, asyncio.ensure_future(asyncio.wait([_waited(read(stream))]))
    await until(lambda: sim.books.open)
    if ending == "caller":
        await asyncio.sleep(0.1)
        cancel()
    await task
    line = await daemon.logged("call", request_id=mine[0][1])
    assert line["outcome"] == ("abandoned" if ending == "caller" else "failed")
    assert line["input_tokens"] > 0


async def test_deadlines_that_are_past_or_tiny(sim: Simulator, caller: Caller) -> None:
    """A deadline that is past or can't be met ends the call at once, as what it is."""
    sim.play(Script.of({"fault": "slow_headers", "delay_s": 9, "times": "always"}))
    for timeout in (-1.0, 0.0, 0.001):
        failed = await fails(caller.Generate(QUESTION, timeout=timeout))
        assert failed.code == "DEADLINE_EXCEEDED"


async def test_a_deadline_of_a_week_is_capped(sim: Simulator) -> None:
    """The configured total timeout ends a call whose deadline is farther away."""
    env = settings(sim.base_url) | {"SIDECARD_TIMEOUTS__TOTAL_S": "1"}
    async with running(env) as daemon, connected(daemon.address) as caller:
        sim.play(Script.of({"fault": "endless", "delta_s": 0.05}))
        async with asyncio.timeout(10):
            streamed = await read(caller.StreamGenerate(QUESTION, timeout=604_800))
    assert streamed.failure is not None
    assert streamed.failure.code == "DEADLINE_EXCEEDED"


async def test_a_deadline_goes_before_the_timeout_of_the_same_moment(sim: Simulator) -> None:
    """With `total_s` alone the first event may take as long: then the deadline is what passed."""
    env = ONCE | settings(sim.base_url) | {"SIDECARD_TIMEOUTS__TOTAL_S": "0.2"}
    async with running(env) as daemon, connected(daemon.address) as caller:
        sim.play(Script.of({"fault": "slow_headers", "delay_s": 9, "times": "always"}))
        reading = []
        for _ in range(100):  # Not together, as it is fractions of a millisecond that decide.
            reading.append(asyncio.ensure_future(read(caller.StreamGenerate(QUESTION))))
            await asyncio.sleep(0.0007)
        failures = [streamed.failure for streamed in await asyncio.gather(*reading)]
        assert {failed and failed.code for failed in failures} == {"DEADLINE_EXCEEDED"}


async def test_the_deadline_bounds_a_paced_stream(sim: Simulator, caller: Caller) -> None:
    """A stream that would go on for ever ends at the caller's deadline."""
    sim.play(Script.of({"fault": "endless", "delta_s": 0.01}))
    began = asyncio.get_running_loop().time()
    streamed = await read(caller.StreamGenerate(QUESTION, timeout=0.5))
    assert streamed.failure is not None
    assert streamed.failure.code == "DEADLINE_EXCEEDED"
    assert not streamed.whole
    assert asyncio.get_running_loop().time() - began < 1.5


async def test_a_slow_reader_holds_back_the_upstream(
    sim: Simulator, daemon: Daemon, caller: Caller
) -> None:
    """A reader that stops reading stops the upstream; memory stays, and the deadline ends it."""
    before = daemon.rss_bytes
    sim.play(Script.of({"fault": "endless", "delta_bytes": 65_536, "delta_s": 0}))
    call = caller.StreamGenerate(QUESTION, timeout=1.5)
    stream = aiter(call)
    await anext(stream)
    await asyncio.sleep(0.4)
    sent = [entry.sent_bytes for entry in sim.books.open.values()]
    await asyncio.sleep(0.4)
    assert [entry.sent_bytes for entry in sim.books.open.values()] == sent
    assert daemon.rss_bytes - before < 8 << 20
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in stream:
            pass
    assert failure(raised.value).code in {"DEADLINE_EXCEEDED", "ABORTED"}
    await until(lambda: not sim.books.open)
