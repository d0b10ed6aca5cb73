"""`sidecard breaker reset` against a real daemon whose breaker has opened."""

from pathlib import Path

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.command import sidecard
from tests.support.daemon import Daemon
from tests.support.reloading import ROUTES, metric, reloaded, served, status, write
from tests.support.rpc import fails

ASK = pb.GenerateRequest(prompt="hello")
LATER = "claude-haiku-5-5"
STRICT = {"breaker": {"minimum_calls": 2, "open_s": 600, "max_open_s": 600}}
ONCE = {"retry": {"max_attempts": 1}}


async def command(*arguments: str, **env: str) -> tuple[int, str, str]:
    return await sidecard("breaker", *arguments, **env)


async def states(daemon: Daemon) -> dict[str, str]:
    return {t["target"]: t["breaker"]["state"] for t in (await status(daemon))["targets"]}


async def test_an_open_breaker_is_closed(tmp_path: Path) -> None:
    """The next call is sent, long before the open time is over; a later target's too."""
    file, data = tmp_path / "sidecard.yaml", str(tmp_path / "data")
    write(file, **STRICT, **ONCE)
    async with Simulator() as sim, served(sim, file, SIDECARD_DATA_DIR=data) as (daemon, caller):

        async def reset(*which: str) -> tuple[int, str, str]:
            here = ("--address", daemon.address)
            return await command("reset", *which, *here, SIDECARD_DATA_DIR=data)

        routes = {**ROUTES, "later": {"targets": [{"model": LATER}]}}
        write(file, routes=routes, **STRICT, **ONCE)
        await reloaded(daemon)
        asks = ASK, pb.GenerateRequest(prompt="hello", model="later")
        sim.play(Script.of({"fault": "status", "status": 500, "times": "always"}))
        for ask in (*asks, *asks):
            await fails(caller.Generate(ask))
        sim.play(Script.of())
        assert set((await states(daemon)).values()) == {"open"}
        assert [(await fails(caller.Generate(ask))).reason for ask in asks] == ["BREAKER_OPEN"] * 2
        assert await reset(LATER) == (0, f"closed: {LATER}\n", "")
        assert (await caller.Generate(asks[1])).text
        assert (await fails(caller.Generate(ASK))).reason == "BREAKER_OPEN"
        assert await reset("--everything") == (0, "closed: claude-sonnet-5-5\n", "")
        assert (await caller.Generate(ASK)).text
        assert await reset("--everything") == (0, "none was open\n", "")
        assert set((await states(daemon)).values()) == {"closed"}
        why = "an operator reset it"
        await daemon.logged("breaker", target=LATER, before="open", after="closed", why=why)
        await daemon.logged("breakers reset", target=LATER, closed=[LATER])
        name = f'sidecard_breaker_transitions_total{{target="{LATER}",to="closed"}}'
        assert await metric(daemon, name) == 1


async def test_what_cannot_be_closed_is_told(tmp_path: Path) -> None:
    """A name without a breaker, one that the configuration holds, and who has no token."""
    file, data = tmp_path / "sidecard.yaml", str(tmp_path / "data")
    write(file, breaker={"mode": "forced_open"}, **ONCE)
    async with Simulator() as sim, served(sim, file, SIDECARD_DATA_DIR=data) as (daemon, caller):

        async def reset(*which: str, **env: str) -> tuple[int, str, str]:
            return await command("reset", *which, "--address", daemon.address, **env)

        for which, told in (
            ("claude-of-another", "has no breaker; there are claude-sonnet-5-5"),
            ("claude-sonnet-5-5", "is forced_open by the configuration: change breaker.mode"),
        ):
            code, out, said = await reset(which, SIDECARD_DATA_DIR=data)
            assert (code, out) == (1, "")
            assert f"target: {told}" in said
        done = await reset("--everything", SIDECARD_DATA_DIR=data)
        assert done == (0, "none was open\n", "")
        wrong = tmp_path / "wrong"
        wrong.write_text("guess")
        code, _, said = await reset("--everything", "--token-file", str(wrong))
        assert (code, "operator's token" in said) == (1, True)
        assert await states(daemon) == {"claude-sonnet-5-5": "forced_open"}
        assert (await fails(caller.Generate(ASK))).reason == "BREAKER_OPEN"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["reset"], "say whose"),
        (["reset", "a", "--everything"], "say whose"),
        (["reset", "a"], "no token: give --token-file"),
        ([], "reset"),
    ],
)
async def test_what_is_asked_wrongly_is_told(arguments: list[str], told: str) -> None:
    """Exit status 2, and one sentence with the fix."""
    code, out, said = await command(*arguments)
    assert (code, out) == (2, "")
    assert told in said
