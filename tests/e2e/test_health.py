"""The address for probes: the health, told to whoever asks from outside, and nothing else."""

import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import Daemon, running, settings, spawn
from tests.support.http2 import settled
from tests.support.rpc import connected, fails
from tests.support.simulator import until

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")
SERVICES = ("", "sidecard.v1.GenerationService")


@asynccontextmanager
async def probed(sim: Simulator) -> AsyncIterator[tuple[Daemon, str]]:
    """Run a daemon with an address for probes, and return both."""
    env = settings(sim.base_url) | {"SIDECARD_LISTEN__HEALTH": "127.0.0.1:0"}
    async with running(env) as daemon:
        yield daemon, (await daemon.logged("serving"))["health"]


async def health(address: str, service: str) -> HealthCheckResponse:
    """Return what a probe hears, on a connection of its own as Kubernetes' are."""
    async with grpc.aio.insecure_channel(address) as channel:
        check: grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse]
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        return await check(HealthCheckRequest(service=service))


async def test_probes_hear_the_health_and_can_spend_nothing() -> None:
    """Both services are told as serving there; a call is UNIMPLEMENTED, and nothing is asked."""
    async with Simulator() as sim, probed(sim) as (daemon, address):
        assert address != daemon.address
        for service in SERVICES:
            assert (await health(address, service)).status == HealthCheckResponse.SERVING
        async with connected(address) as caller:
            assert (await fails(caller.Generate(QUESTION))).code == "UNIMPLEMENTED"
        async with connected(daemon.address) as caller:
            await caller.Generate(QUESTION)


async def test_idle_connections_keep_no_probe_out() -> None:
    """Strangers reach this address: a hundred of them that stay leave room, and are closed."""
    async with (
        Simulator() as sim,
        probed(sim) as (daemon, address),
        contextlib.AsyncExitStack() as held,
    ):
        files = daemon.open_files
        for _ in range(100):
            await held.enter_async_context(settled(address))
        assert (await health(address, "")).status == HealthCheckResponse.SERVING
        await until(lambda: daemon.open_files <= files + 2)


async def test_probes_hear_of_a_drain_until_its_end() -> None:
    """While running calls finish the address answers, and says that none are taken."""
    async with Simulator() as sim, probed(sim) as (daemon, address):
        async with connected(daemon.address) as caller:
            sim.play(Script.of({"fault": "none", "pace": {"delta_s": 0.05}}))
            stream = caller.StreamGenerate(QUESTION)
            await anext(aiter(stream))
            daemon.signal(signal.SIGTERM)
            await daemon.logged("draining")
            for service in SERVICES:
                assert (await health(address, service)).status == HealthCheckResponse.NOT_SERVING
        assert await daemon.ended() == 0


async def test_an_address_that_is_taken_is_told() -> None:
    """The daemon doesn't start without its probes' address, and says which one is in use."""
    async with Simulator() as sim, probed(sim) as (_, address):
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__HEALTH": address}
        second = await spawn(env)
        _, err = await second.communicate()
        assert second.returncode == 2
        assert f"can't listen on {address}" in err.decode()
