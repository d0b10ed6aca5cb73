"""The daemon's life as an operator sees it: start, signals, sockets, secrets."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import ONCE, environment, running, settings, spawn
from tests.support.rawserver import unused_port
from tests.support.rpc import connected, fails, read
from tests.support.simulator import until

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")


async def test_a_stream_finishes_after_sigterm() -> None:
    """SIGTERM turns the daemon not ready, lets a running stream finish, and it exits 0."""
    async with Simulator() as sim, running(settings(sim.base_url)) as daemon:
        async with (
            connected(daemon.address) as caller,
            grpc.aio.insecure_channel(daemon.address) as channel,
        ):
            watch = aiter(_watch(channel))
            assert (await anext(watch)).status == HealthCheckResponse.SERVING
            sim.play(Script.of({"fault": "none", "pace": {"delta_s": 0.05}}))
            stream = caller.StreamGenerate(QUESTION)
            await anext(aiter(stream))
            daemon.signal(signal.SIGTERM)
            assert (await anext(watch)).status == HealthCheckResponse.NOT_SERVING
            streamed = await read(stream)
            assert streamed.failure is None
            assert streamed.whole
        assert await daemon.ended() == 0
        await daemon.logged("stopped")
        events = [line["event"] for line in daemon.lines]
        assert events[-2:] == ["call", "stopped"]  # Nothing is told after the last word.


def _watch(channel: grpc.aio.Channel) -> AsyncIterator[HealthCheckResponse]:
    watch: grpc.aio.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse]
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    return aiter(watch(HealthCheckRequest()))


async def test_grace_bounds_the_drain() -> None:
    """A stream that outlasts the grace is ended, not as if it were whole, and the exit is 0."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__GRACE_S": "0.3"}
        async with running(env) as daemon, connected(daemon.address) as caller:
            sim.play(Script.of({"fault": "endless", "delta_s": 0.01}))
            stream = caller.StreamGenerate(QUESTION)
            await anext(aiter(stream))
            daemon.signal(signal.SIGTERM)
            streamed = await read(stream)
            assert streamed.failure is not None
            assert streamed.failure.reason == "SHUTTING_DOWN"
            assert not streamed.whole
            assert (await daemon.logged("calls cut"))["calls"] == 1
            assert await daemon.ended() == 0


async def test_who_watches_the_health_is_not_waited_for() -> None:
    """A probe's open Watch keeps no daemon from stopping when its calls are done."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__GRACE_S": "60"}
        async with running(env) as daemon, grpc.aio.insecure_channel(daemon.address) as channel:
            watch = aiter(_watch(channel))
            assert (await anext(watch)).status == HealthCheckResponse.SERVING
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended(5) == 0


async def test_a_second_signal_ends_at_once() -> None:
    """A second SIGTERM doesn't wait for the grace, and the exit status tells."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__GRACE_S": "60"}
        async with running(env) as daemon, connected(daemon.address) as caller:
            sim.play(Script.of({"fault": "endless", "delta_s": 0.01}))
            stream = caller.StreamGenerate(QUESTION)
            await anext(aiter(stream))
            daemon.signal(signal.SIGTERM)
            reading = asyncio.create_task(read(stream))
            await daemon.logged("draining")
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended(5) == 128 + signal.SIGTERM
            failure = (await reading).failure
            assert failure is not None
            assert failure.reason == "SHUTTING_DOWN", failure


async def test_a_unix_socket_is_its_owners(tmp_path: Path) -> None:
    """A socket file has mode 0600, answers, goes with the daemon, and a stale one is replaced."""
    path = tmp_path / "sidecard.sock"
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__GRPC": f"unix://{path}"}
        async with running(env) as daemon:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            async with connected(daemon.address) as caller:
                assert (await caller.Generate(QUESTION)).text
            daemon.signal(signal.SIGKILL)
            await daemon.ended()
        assert path.exists()
        async with running(env) as daemon:
            async with connected(daemon.address) as caller:
                assert (await caller.Generate(QUESTION)).text
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0
        assert not path.exists()


async def test_a_successor_keeps_its_socket(tmp_path: Path) -> None:
    """A daemon that drains doesn't take the socket of the one that came after it."""
    path = tmp_path / "sidecard.sock"
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__GRPC": f"unix://{path}"}
        async with running(env) as first, connected(first.address) as old:
            sim.play(Script.of({"fault": "none", "pace": {"delta_s": 0.4}}))
            stream = old.StreamGenerate(QUESTION)
            await anext(aiter(stream))
            first.signal(signal.SIGTERM)
            await until(lambda: not path.exists())
            async with running(env) as second:
                assert (await read(stream)).whole
                assert await first.ended() == 0
                async with connected(second.address) as caller:
                    assert (await caller.Generate(QUESTION)).text


async def test_an_address_in_use_is_told() -> None:
    """A second daemon on one address exits 2 and says why; the first one serves on."""
    async with Simulator() as sim, running(settings(sim.base_url)) as daemon:
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__GRPC": daemon.address}
        for admin in ("127.0.0.1:0", daemon.admin):  # Of both, gRPC's is the one that is told.
            second = await spawn(env | {"SIDECARD_LISTEN__ADMIN": admin})
            _, err = await second.communicate()
            assert second.returncode == 2
            assert f"can't listen on {daemon.address}: it is in use" in err.decode()
            assert "does a daemon run already?" in err.decode()
            assert "add_port" not in err.decode()  # gRPC's own line.
            assert "Traceback" not in err.decode()
        async with connected(daemon.address) as caller:
            assert (await caller.Generate(QUESTION)).text


async def test_a_start_that_fails_leaves_no_socket(tmp_path: Path) -> None:
    """Where the admin's address, which is taken second, turns out to be in use."""
    path = tmp_path / "sidecard.sock"
    async with Simulator() as sim, running(settings(sim.base_url)) as daemon:
        env = {"SIDECARD_LISTEN__GRPC": f"unix://{path}", "SIDECARD_LISTEN__ADMIN": daemon.admin}
        second = await spawn(settings(sim.base_url) | env)
        _, err = await second.communicate()
        assert (second.returncode, "listen.admin" in err.decode()) == (2, True)
        assert "Traceback" not in err.decode()
        assert not path.exists()


async def test_a_full_log_holds_up_nobody() -> None:
    """A daemon whose log is open but not read any more answers on, and stops when it is told."""
    async with Simulator() as sim:
        reading, writing = os.pipe()
        address = f"127.0.0.1:{unused_port()}"
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__GRPC": address}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecard", "serve", env=env, stderr=writing
        )
        os.close(writing)
        try:
            async with connected(address) as caller:
                assert (await caller.Generate(QUESTION, wait_for_ready=True)).text
                for _ in range(300):  # Some 400 bytes of log each, into 64 KiB of pipe.
                    assert (await caller.Generate(QUESTION, timeout=5)).text
        finally:
            process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        os.close(reading)


async def test_a_reader_of_the_log_may_go() -> None:
    """A daemon whose log nobody reads any more answers, and tells failures as what they are."""
    async with Simulator() as sim:
        reading, writing = os.pipe()
        address = f"127.0.0.1:{unused_port()}"
        env = settings(sim.base_url) | ONCE | {"SIDECARD_LISTEN__GRPC": address}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecard", "serve", env=env, stderr=writing
        )
        os.close(writing)
        try:
            await asyncio.to_thread(os.read, reading, 65_536)
            os.close(reading)
            async with connected(address) as caller:
                assert (await caller.Generate(QUESTION, wait_for_ready=True)).text
                sim.play(Script.of({"fault": "status", "status": 529}))
                assert (await fails(caller.Generate(QUESTION))).reason == "UPSTREAM_UNAVAILABLE"
                assert (await caller.Generate(QUESTION)).text
        finally:
            process.terminate()
        assert await process.wait() == 0


async def test_no_configuration_means_the_simulator_loudly() -> None:
    """With nothing configured the daemon simulates, warns of it, and each answer says so."""
    env = environment(SIDECARD_LOG__FORMAT="json", SIDECARD_LISTEN__GRPC="127.0.0.1:0")
    async with running(env) as daemon, connected(daemon.address) as caller:
        warning = await daemon.logged("SIMULATED ANSWERS")
        assert warning["level"] == "warning"
        answer = await caller.Generate(QUESTION)
        assert answer.model.startswith("simulated-")


async def test_in_a_cluster_a_missing_key_is_a_mistake() -> None:
    """Where a real upstream is meant, a daemon without a key exits 2 and names the ways out."""
    env = environment(KUBERNETES_SERVICE_HOST="10.0.0.1", SIDECARD_LISTEN__GRPC="127.0.0.1:0")
    process = await spawn(env)
    _, err = await process.communicate()
    assert process.returncode == 2
    for way_out in ("api_key_file", "ANTHROPIC_API_KEY", "simulate"):
        assert way_out in err.decode()


async def test_a_bad_configuration_exits_2_with_every_mistake(tmp_path: Path) -> None:
    """`serve` lists all mistakes, as `check` does, with the nearest name for an unknown key."""
    config = tmp_path / "bad.yaml"
    config.write_text("timeout:\n  idle_s: 3\ntimeouts:\n  idle_s: soon\nlog: {level: loud}\n")
    process = await spawn(environment(), "--config", str(config))
    _, err = await process.communicate()
    assert process.returncode == 2
    for part in ("timeouts", "timeouts.idle_s", "log.level"):
        assert part in err.decode()
    assert "Traceback" not in err.decode()


async def test_the_key_shows_nowhere(tmp_path: Path) -> None:
    """The key is in no log line, no error and no command line, also when it is refused."""
    secret = "sk-ant-secret-9876543210"
    file = tmp_path / "key"
    file.write_text(f"{secret}\n")
    async with Simulator() as sim:
        env = settings(sim.base_url) | ONCE | {"SIDECARD_UPSTREAM__API_KEY_FILE": str(file)}
        del env["ANTHROPIC_API_KEY"]
        env["SIDECARD_LOG__LEVEL"] = "debug"
        async with running(env) as daemon, connected(daemon.address) as caller:
            sim.play(Script.of({"fault": "status", "status": 401}))
            failed = await fails(caller.Generate(QUESTION))
            assert failed.reason == "UPSTREAM_MISCONFIGURED"
            assert (await caller.Generate(QUESTION)).text
            assert sim.books.received[-1].headers["authorization"] == f"Bearer {secret}"
            command = Path(f"/proc/{daemon.process.pid}/cmdline").read_text()
            daemon.signal(signal.SIGTERM)
            await daemon.ended()
            seen = command + repr(daemon.lines) + repr(failed)
            assert secret not in seen


async def test_a_rotated_key_is_picked_up(tmp_path: Path) -> None:
    """A key file that changes is read again, without a restart."""
    file = tmp_path / "key"
    file.write_text("sk-ant-first-000000000")
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_UPSTREAM__API_KEY_FILE": str(file)}
        del env["ANTHROPIC_API_KEY"]
        async with running(env) as daemon, connected(daemon.address) as caller:
            await caller.Generate(QUESTION)
            replacement = tmp_path / "new"
            replacement.write_text("sk-ant-second-00000000")
            os.replace(replacement, file)  # noqa: PTH105  # the very call that rotators make
            async with asyncio.timeout(10):
                while "second" not in sim.books.received[-1].headers["authorization"]:
                    await caller.Generate(QUESTION)
                    await asyncio.sleep(0.05)
            assert sim.books.received[-1].headers["authorization"].endswith("second-00000000")


async def test_keys_rotate_under_load_and_no_call_fails(tmp_path: Path) -> None:
    """A key that is withdrawn the moment that the file has the next one costs no call anything."""
    file = tmp_path / "key"
    file.write_text("sk-ant-0")
    async with Simulator() as sim:
        env = settings(sim.base_url) | ONCE | {"SIDECARD_UPSTREAM__API_KEY_FILE": str(file)}
        del env["ANTHROPIC_API_KEY"]
        sim.accept("sk-ant-0")
        async with running(env) as daemon, connected(daemon.address) as caller:
            for number in range(1, 11):
                calls = [asyncio.ensure_future(caller.Generate(QUESTION)) for _ in range(20)]
                await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                replacement = tmp_path / "new"
                replacement.write_text(f"sk-ant-{number}")
                replacement.replace(file)
                sim.accept(f"sk-ant-{number}")
                await asyncio.gather(*calls)
                await caller.Generate(QUESTION)
            sim.accept("sk-ant-other")
            before = sim.books.requests
            refused = await fails(caller.Generate(QUESTION))
            assert refused.reason == "UPSTREAM_MISCONFIGURED"
            assert sim.books.requests == before + 1  # The key is the same: it isn't sent again.
