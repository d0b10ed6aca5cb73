"""A changed configuration takes effect in the real daemon while calls run, or is refused whole."""

import asyncio
import json
import re
import signal
import sys
from itertools import cycle
from pathlib import Path

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import Daemon, environment, running, settings, spawn
from tests.support.reloading import (
    ROUTES,
    metric,
    reloaded,
    served,
    settled,
    shows,
    status,
    write,
)
from tests.support.rpc import connected, fails, read

ASK = pb.GenerateRequest(prompt="please say something that takes a few words to say")
SLOW = Script.of({"fault": "none", "pace": {"delta_s": 0.03}, "times": "always"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sidecard.yaml"
    write(path)
    return path


async def test_fifty_reloads_under_load_fail_no_call(file: Path) -> None:
    """Calls and streams run while routes, limits, places and breakers change: all are answered."""
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        sim.play(Script.of({"fault": "none", "pace": {"delta_s": 0.002}, "times": "always"}))
        done, counts = asyncio.Event(), [0, 0]

        async def ask(number: int) -> None:
            while not done.is_set():
                counts[0] += 1
                request = pb.GenerateRequest(prompt=f"echo {number} {counts[0]}")
                if number % 2:
                    await caller.Generate(request, timeout=20)
                else:
                    streamed = await read(caller.StreamGenerate(request, timeout=20))
                    assert streamed.failure is None
                    assert streamed.whole
                counts[1] += 1

        tasks = [asyncio.create_task(ask(number)) for number in range(8)]
        variants: list[dict[str, object]] = [
            {"limits": {"requests_per_minute": 1_000_000}, "breaker": {"window": "count"}},
            {"admission": {"in_flight": 4}, "retry": {"max_attempts": 2}},
            {"routes": {**ROUTES, "more": {"targets": [{"model": "claude-haiku-5-5"}]}}},
            {"budgets": {"limits": [{"name": "all", "dollars": 1_000, "per": "day"}]}},
            {"cache": {"enabled": True, "ttl_s": 5}, "hedge": {"enabled": True}},
            {"log": {"level": "error"}, "timeouts": {"first_event_s": 7}},
        ]
        for _, variant in zip(range(50), cycle(variants), strict=False):
            write(file, **variant)
            found = await reloaded(daemon)
        assert found["config"]["reloads"] >= 50
        done.set()
        await asyncio.gather(*tasks)
        assert counts[0] == counts[1] > 50
        write(file)
        found = await reloaded(daemon)
        assert found["admission"]["shared"]["in_flight"] == 0
        assert found["targets"][0]["limits"]["in_flight"] == 0
        assert found["budgets"]["open"] == 0


async def test_a_link_that_is_turned_is_a_changed_file(tmp_path: Path) -> None:
    """Kubernetes replaces a mounted ConfigMap by turning `..data` to another folder."""
    for name, model in (("..one", "claude-sonnet-5-5"), ("..two", "claude-haiku-5-5")):
        (tmp_path / name).mkdir()
        text = json.dumps({"routes": {"default": {"targets": [{"model": model}]}}})
        (tmp_path / name / "sidecard.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "sidecard.yaml").symlink_to("..data/sidecard.yaml")
    async with (
        Simulator() as sim,
        served(sim, tmp_path / "sidecard.yaml") as (daemon, caller),
    ):
        assert (await caller.Generate(ASK)).target == "claude-sonnet-5-5"
        (tmp_path / "..new").symlink_to("..two")
        (tmp_path / "..new").replace(tmp_path / "..data")
        found = await settled(daemon, 1)
        assert found["routes"] == {"default": ["claude-haiku-5-5"]}
        assert (await caller.Generate(ASK)).target == "claude-haiku-5-5"


async def test_a_file_that_grows_is_read_when_it_is_done(file: Path) -> None:
    """Its halves are valid too: none of them takes effect, and the whole does."""
    text = "budgets:\n  limits:\n  - {name: all, calls: 5, per: hour}\n"
    async with Simulator() as sim, served(sim, file) as (daemon, _):
        routes = "routes: {default: {targets: [{model: claude-sonnet-5-5}]}}\n"
        with file.open("w") as stream:
            for part in (routes, *text.splitlines(keepends=True), f"# {'x' * 99}\n"):
                stream.write(part)
                stream.flush()
                await asyncio.sleep(0.4)
        found = await settled(daemon, 1)
        assert found["config"]["reloads"] == 1
        assert [a["budget"] for a in found["budgets"]["accounts"]] == ["all"]


async def test_a_bad_file_is_refused_whole_and_loudly(file: Path) -> None:
    """Every mistake is told with its line; what was in force stays, and a good one clears it."""
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        before = (await status(daemon))["config"]
        file.write_text(
            "routes:\n  other: {targets: [{model: claude-haiku-5-5}]}\n"
            "retry: {max_attempts: many}\nlimit: {}\n"
        )
        found = await settled(daemon, 1)
        line = await daemon.logged("configuration refused; the one before stays in force")
        assert line["level"] == "error"
        assert any("retry.max_attempts" in told and "line 3" in told for told in line["mistakes"])
        assert any("limit" in told and "line 4" in told for told in line["mistakes"])
        config = found["config"]
        assert config["last_reload_successful"] is False
        assert config["problems"] == line["mistakes"]
        assert config["sha256"] == before["sha256"]
        assert config["loaded_at"] == before["loaded_at"]
        assert list(found["routes"]) == ["default"]
        await caller.Generate(ASK)
        assert await metric(daemon, "sidecard_config_last_reload_successful") == 0
        assert await metric(daemon, "sidecard_config_reload_failures_total") == 1
        write(file)
        config = (await settled(daemon, 2))["config"]
        assert config["last_reload_successful"] is True
        assert config["problems"] == []
        assert await metric(daemon, "sidecard_config_last_reload_successful") == 1


async def test_a_file_that_cannot_be_read_is_told(file: Path) -> None:
    """Each time that it is for another reason, and what is in force stays, until it can be."""
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        write(file, admission={"in_flight": 3})
        await reloaded(daemon)

        async def refused(number: int, why: str) -> None:
            found = await shows(daemon, lambda found: found["config"]["failures"] == number)
            assert why in found["config"]["problems"][0]
            assert found["admission"]["shared"]["limit"] == 3

        file.unlink()
        await refused(1, "No such file")
        file.mkdir()
        await refused(2, "Is a directory")
        file.rmdir()
        write(file, admission={"in_flight": 5})
        await shows(daemon, lambda found: found["admission"]["shared"]["limit"] == 5)
        assert (await caller.Generate(ASK)).text
        assert len([line for line in daemon.lines if "refused" in line["event"]]) == 2


async def test_a_storm_of_signals_harms_nothing(file: Path) -> None:
    """Hundreds of SIGHUPs are a few reloads, and the last of them sees the last file."""
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        for number in range(300):
            daemon.signal(signal.SIGHUP)
            if number % 100 == 0:
                write(file, admission={"in_flight": number + 7})
        daemon.signal(signal.SIGHUP)
        found = await shows(daemon, lambda found: found["admission"]["shared"]["limit"] == 207)
        assert found["config"]["failures"] == 0
        await caller.Generate(ASK)
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended() == 0


async def test_a_call_of_a_removed_route_is_finished(file: Path) -> None:
    """Who called before gets the whole answer; who calls after is told that there is no such."""
    routes = {**ROUTES, "going": {"targets": [{"model": "claude-haiku-5-5"}]}}
    write(file, routes=routes)
    ask = pb.GenerateRequest(model="going", prompt=ASK.prompt)
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        sim.play(SLOW)
        stream = caller.StreamGenerate(ask)
        await anext(aiter(stream))
        write(file)
        await reloaded(daemon)
        assert (await fails(caller.Generate(ask))).reason == "INVALID_CALL"
        streamed = await read(stream)
        assert streamed.failure is None
        assert streamed.whole


async def test_what_needs_a_restart_is_named_and_the_rest_takes_effect(file: Path) -> None:
    """An address stays as it is, in the log, the status and the metrics; the limit changes."""
    async with Simulator() as sim, served(sim, file) as (daemon, caller):
        write(
            file,
            listen={"reflection": False},
            cache={"max_bytes": 8_000_000},
            log={"level": "warning"},
            admission={"in_flight": 12},
        )
        found = await reloaded(daemon, waiting_for_restart=["listen.reflection", "cache.max_bytes"])
        assert found["admission"]["shared"]["limit"] == 12
        line = await daemon.logged("configuration fields wait for a restart")
        assert line["fields"] == ["listen.reflection", "cache.max_bytes"]
        assert await metric(daemon, "sidecard_config_restart_needed") == 1
        count = len(daemon.lines)
        await caller.Generate(ASK)
        assert len(daemon.lines) == count  # No line of a call any more, at this level.
        write(file)
        await reloaded(daemon, waiting_for_restart=[])


async def test_a_signal_without_a_file_harms_nothing() -> None:
    """What the environment says stays as it is."""
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | {"SIDECARD_ADMISSION__IN_FLIGHT": "7"}) as daemon,
        connected(daemon.address) as caller,
    ):
        found = await reloaded(daemon, sha256="", waiting_for_restart=[])
        assert found["admission"]["shared"]["limit"] == 7
        assert (await caller.Generate(ASK)).text


async def test_a_signal_that_comes_too_early_ends_nothing(file: Path) -> None:
    """While the daemon starts there is nothing to reload yet; what it read is what counts."""
    async with Simulator() as sim:
        daemon = Daemon(await spawn(settings(sim.base_url), "--config", str(file)))
        try:
            ignored = 0
            async with asyncio.timeout(15):
                while not ignored & 1:  # The first bit is SIGHUP's.
                    await asyncio.sleep(0.01)
                    text = Path(f"/proc/{daemon.process.pid}/status").read_text()
                    ignored = int(re.findall(r"SigIgn:\s+(\w+)", text)[0], 16)
            daemon.signal(signal.SIGHUP)
            daemon.address = (await daemon.logged("serving"))["grpc"]
            async with connected(daemon.address) as caller:
                assert (await caller.Generate(ASK)).text
        finally:
            daemon.process.kill()
            await daemon.ended()


async def test_an_operator_may_order_it(file: Path, tmp_path: Path) -> None:
    """The command says what is in force and what waits, or every mistake, and who may do it."""
    env = {"SIDECARD_DATA_DIR": str(tmp_path / "data")}
    token = str(tmp_path / "data" / "admin-token")
    async with Simulator() as sim, served(sim, file, **env) as (daemon, _):
        write(file, listen={"reflection": False}, admission={"in_flight": 3})
        code, out, _ = await order(daemon, token)
        assert code == 0
        assert out.splitlines()[1:] == ["waits for a restart: listen.reflection"]
        found = await status(daemon)
        assert found["admission"]["shared"]["limit"] == 3
        assert found["config"]["sha256"] in out
        write(file, admission={"in_flight": -3})
        code, out, told = await order(daemon, token)
        assert (code, out) == (1, "")
        assert "admission.in_flight" in told
        wrong = tmp_path / "wrong"
        wrong.write_text("guess")
        code, _, told = await order(daemon, str(wrong))
        assert (code, "operator's token" in told) == (1, True)
        assert (await status(daemon))["admission"]["shared"]["limit"] == 3


async def order(daemon: Daemon, token: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecard", "reload",
        "--address", daemon.address, "--token-file", token,
        env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, told = await process.communicate()
    return process.returncode or 0, out.decode(), told.decode()
