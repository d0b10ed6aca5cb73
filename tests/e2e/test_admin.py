"""The admin address of a real daemon: what was done shows there, and when it drains."""

import asyncio
import signal
import sys

import aiohttp

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import environment, running, settings, spawn
from tests.support.rpc import connected, fails, read

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")


async def page(address: str, path: str) -> tuple[int, str]:
    """Return an admin page's status and text."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as got:
        return got.status, await got.text()


async def test_what_was_done_is_counted() -> None:
    """Calls, attempts, retries and breakers show in the metrics and in the status."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_RETRY__BASE_S": "0.01"}
        async with running(env) as daemon, connected(daemon.address) as caller:
            sim.play(Script.of({"fault": "status", "status": 529}))
            await caller.Generate(QUESTION)
            _, metrics = await page(daemon.admin, "/metrics")
            target = 'target="claude-sonnet-5-5"'
            for sample in (
                f'sidecard_attempts_total{{outcome="ANSWERED",{target}}} 1.0',
                f'sidecard_attempts_total{{outcome="UPSTREAM_UNAVAILABLE",{target}}} 1.0',
                f'sidecard_retries_total{{error="UPSTREAM_UNAVAILABLE",{target}}} 1.0',
                f'sidecard_breaker_state{{state="closed",{target}}} 1.0',
                'sidecard_in_flight{places="shared"} 0.0',
            ):
                assert sample in metrics
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sidecard", "status", "--admin", daemon.admin),
                env=environment(),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
            [row] = [line for line in out.decode().splitlines() if "claude-sonnet-5-5" in line]
            assert row.split()[1:6] == ["closed", "50", "%", "0", "%"]


async def test_a_draining_daemon_is_not_ready() -> None:
    """While calls finish, it is alive and not ready, and says why."""
    async with Simulator() as sim, running(settings(sim.base_url)) as daemon:
        async with connected(daemon.address) as caller:
            assert (await page(daemon.admin, "/readyz"))[0] == 200
            sim.play(Script.of({"fault": "none", "pace": {"first_event_s": 0.5}}))
            running_call = asyncio.ensure_future(caller.Generate(QUESTION))
            await asyncio.sleep(0.1)
            daemon.signal(signal.SIGTERM)
            await daemon.logged("draining")
            assert await page(daemon.admin, "/readyz") == (503, "draining\n")
            assert (await page(daemon.admin, "/healthz"))[0] == 200
            assert (await running_call).text
        assert await daemon.ended() == 0


async def test_the_admin_address_can_be_turned_off() -> None:
    """With null nothing listens there, and the daemon serves all the same."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_LISTEN__ADMIN": "null"}
        async with running(env) as daemon, connected(daemon.address) as caller:
            assert daemon.admin == ""
            assert (await caller.Generate(QUESTION)).text


async def test_an_admin_address_in_use_is_told() -> None:
    """The second daemon exits 2, and names the field and the way out."""
    async with Simulator() as sim, running(settings(sim.base_url)) as daemon:
        second = await spawn(settings(sim.base_url) | {"SIDECARD_LISTEN__ADMIN": daemon.admin})
        _, err = await second.communicate()
        assert second.returncode == 2
        assert "listen.admin" in err.decode()
        assert "Traceback" not in err.decode()


async def test_what_the_process_does_is_told() -> None:
    """RPCs by their code, refused ones too; limits, lag, memory, and what is read upstream."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {
            "SIDECARD_LIMITS__REQUESTS_PER_MINUTE": "100",
            "SIDECARD_ROUTES__DEFAULT__TARGETS": '[{"model": "model-1"}]',
            "SIDECARD_PRICES__UNKNOWN": "allow",
        }
        async with running(env) as daemon, connected(daemon.address) as caller:
            await caller.Generate(QUESTION)
            refused = await fails(caller.Generate(pb.GenerateRequest()))
            assert refused.code == "INVALID_ARGUMENT"
            await read(caller.StreamGenerate(QUESTION))
            await asyncio.sleep(0.3)
            _, text = await page(daemon.admin, "/metrics")
    told = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }
    assert told['sidecard_rpcs_total{code="OK",method="Generate"}'] == 1
    assert told['sidecard_rpcs_total{code="INVALID_ARGUMENT",method="Generate"}'] == 1
    assert told['sidecard_rpc_duration_seconds_count{method="StreamGenerate"}'] == 1
    assert told['sidecard_limit_per_minute{kind="requests",target="model-1"}'] == 100
    assert 97 <= told['sidecard_limit_room{kind="requests",target="model-1"}'] <= 99
    assert told["sidecard_event_loop_lag_seconds_count"] >= 1
    assert told['sidecard_output_token_seconds_count{route="default"}'] == 1
    assert told["sidecard_upstream_busy"] == 0
    assert told["sidecard_upstream_connections"] == 1
    assert told["process_resident_memory_bytes"] > 1e6
