"""What is said and what is secret stays between caller and upstream: looked for everywhere else."""

import urllib.request
from pathlib import Path

import aiohttp
import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import ONCE, running, settings
from tests.support.rpc import connected, fails, read
from tests.support.simulator import until

PROMPT = "PROMPT-OF-A-PATIENT"
KEY = "sk-ant-test-KEY-IN-A-FILE-0123456789"
FAULTS = (
    {"fault": "status", "status": 529},
    {"fault": "truncate"},
    {"fault": "malformed"},
    {"fault": "status", "status": 400},
)


def _pages(admin: str) -> str:
    """Return all that the admin server says."""
    paths = ("/", "/metrics", "/status.json", "/readyz")
    return "".join(
        [urllib.request.urlopen(f"http://{admin}{path}").read().decode() for path in paths]
    )


async def test_nothing_that_is_said_is_told_elsewhere() -> None:
    """Of good calls and bad ones: in no line of the log, not even at debug, and on no page."""
    env = {"SIDECARD_LOG__LEVEL": "debug", "SIDECARD_LISTEN__HTTP": "127.0.0.1:0"}
    asked = pb.GenerateRequest(prompt=PROMPT, system=PROMPT, stop_sequences=[PROMPT])
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | ONCE | env) as daemon,
        connected(daemon.address) as caller,
    ):
        answer = await caller.Generate(asked)
        assert answer.text
        assert (await read(caller.StreamGenerate(asked))).whole
        for fault in FAULTS:
            sim.play(Script.of(fault))
            await read(caller.StreamGenerate(asked))
        asked.max_tokens = -1
        await fails(caller.Generate(asked))
        url = f"http://{(await daemon.logged('serving'))['http']}/v1/messages"
        async with aiohttp.ClientSession() as session:
            for body in ({"messages": PROMPT}, {"model": PROMPT}, PROMPT):
                async with session.post(url, json=body) as refused:
                    assert refused.status == 400
        await until(lambda: sum(line["event"] == "call" for line in daemon.lines) == 6, within_s=5)
        told = str(daemon.lines) + _pages(daemon.admin)
        assert PROMPT not in told
        assert answer.text not in told


@pytest.mark.parametrize("place", ["environ", "cmdline"])
async def test_a_key_in_a_file_shows_in_no_list_of_processes(place: str, tmp_path: Path) -> None:
    """Who may look at the process's start sees where the key is, and not the key."""
    file = tmp_path / "key"
    file.write_text(KEY)
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"SIDECARD_UPSTREAM__API_KEY_FILE": str(file)}
        del env["ANTHROPIC_API_KEY"]
        async with running(env) as daemon, connected(daemon.address) as caller:
            await caller.Generate(pb.GenerateRequest(prompt="hi"))
            shown = Path(f"/proc/{daemon.process.pid}/{place}").read_bytes()
            assert KEY.encode() not in shown
            assert KEY not in str(daemon.lines) + _pages(daemon.admin)
