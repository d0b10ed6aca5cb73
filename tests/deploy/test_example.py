"""The example app, run beside a real daemon with the configuration that the base ships."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.support.daemon import ONCE, START_S, environment, running
from tests.support.simulator import until
from tests.support.tools import K8S

APP = K8S / "examples/app/ask.py"


def shipped(folder: Path, sim: Simulator) -> dict[str, str]:
    """Return the environment of a daemon as in a pod: config and key are files, the key a link."""
    settings = yaml.safe_load((K8S / "base/sidecard.yaml").read_text())
    mounted = folder / "secret/..data"
    mounted.mkdir(parents=True)
    (mounted / "api-key").write_text("sk-ant-test-0123456789\n")
    key = folder / "secret/api-key"
    key.symlink_to("..data/api-key")
    settings["upstream"] |= {"api_key_file": str(key), "base_url": sim.base_url}
    settings["listen"] |= dict.fromkeys(("grpc", "admin", "health"), "127.0.0.1:0")
    settings["data_dir"] = str(folder / "data")
    file = folder / "sidecard.yaml"
    file.write_text(yaml.safe_dump(settings))
    env = environment(SIDECARD_CONFIG=str(file), KUBERNETES_SERVICE_HOST="10.0.0.1")
    del env["SIDECARD_LISTEN__ADMIN"]
    return env


@asynccontextmanager
async def app(env: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the app; return its process and URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, APP),
        env={**env, "ASK_LISTEN": address},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_S):
            while (await get(f"http://{address}/healthz"))[0] != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield process, f"http://{address}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def get(url: str) -> tuple[int, str]:
    """Return an answer's status and text; status 0 where nobody answers."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def test_the_example_answers_and_ends_in_order(tmp_path: Path) -> None:
    """It answers, says when it can't, and finishes a running request before it ends on SIGTERM."""
    async with Simulator() as sim:
        env = shipped(tmp_path, sim) | ONCE
        async with running(env) as daemon:
            beside = environment(SIDECARD_ADDRESS=daemon.address)
            async with app(beside) as (process, url):
                assert "You said" in (await get(f"{url}/?q=hello"))[1]
                sim.play(Script.of(*[{"fault": "status", "status": 529}] * 2))
                assert (await get(f"{url}/?q=new"))[0] == 503
                sim.play(Script.of({"fault": "none", "pace": {"first_event_s": 0.3}}))
                slow = asyncio.ensure_future(get(f"{url}/?q=slow"))
                await until(lambda: sim.books.requests_open)
                process.send_signal(signal.SIGTERM)
                assert (await slow)[0] == 200
                assert await process.wait() == 0
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0
