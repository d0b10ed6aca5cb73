"""The same question costs once: the real daemon, its store on disk, and what stands in."""

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.protobuf.json_format import ParseDict

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.usage_pb2 import Usage
from tests.support.daemon import Daemon, running, settings, spawn
from tests.support.rpc import Caller, connected, fails, read
from tests.support.simulator import until

UPSTREAM, HIT = pb.SOURCE_UPSTREAM, pb.SOURCE_CACHE_EXACT
STALE, COALESCED = pb.SOURCE_CACHE_STALE, pb.SOURCE_COALESCED
SECRET = "a word that nobody else says: zanzibarium"
QUESTION = pb.GenerateRequest(prompt=SECRET)
ONLY = pb.CachePolicy(mode=pb.CachePolicy.MODE_ONLY)


@asynccontextmanager
async def served(
    sim: Simulator,
    folder: Path | None = None,
    more: Mapping[str, str] | None = None,
    *,
    opens: bool = True,
) -> AsyncIterator[tuple[Daemon, Caller]]:
    """Run a daemon that keeps answers, on disk if there is a folder, and asks each target once."""
    env = settings(sim.base_url) | {"SIDECARD_RETRY__MAX_ATTEMPTS": "1"}
    env |= {"SIDECARD_CACHE__ENABLED": "true", "SIDECARD_CACHE__COALESCE": "true"}
    if folder is not None:
        env["SIDECARD_DATA_DIR"] = str(folder)
    env |= {f"SIDECARD_{name.upper()}": value for name, value in (more or {}).items()}
    async with running(env) as daemon, connected(daemon.address) as caller:
        if folder is not None and opens:
            await daemon.logged("cache opened")
        yield daemon, caller


async def metric(daemon: Daemon, name: str) -> float:
    """Return the sum of the samples whose name and labels begin so."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{daemon.admin}/metrics") as got,
    ):
        lines = (await got.text()).splitlines()
    values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)]
    assert values, f"no {name}"
    return sum(values)


def asked(sim: Simulator) -> int:
    return sim.books.requests


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    """What was answered before the end is answered after it, with its age, and asked once."""
    async with Simulator() as sim:
        async with served(sim, tmp_path) as (daemon, caller):
            first = await caller.Generate(QUESTION)
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0
        async with served(sim, tmp_path) as (daemon, caller):
            second = await caller.Generate(QUESTION)
            streamed = await read(caller.StreamGenerate(QUESTION))
            line = await daemon.logged("call", source="cache_exact")
        assert (first.source, second.source, second.degraded) == (UPSTREAM, HIT, False)
        assert (second.text, second.target) == (first.text, first.target)
        assert (second.usage, len(second.attempts)) == (Usage(), 0)
        assert second.HasField("age")
        assert streamed.text == first.text
        assert streamed.messages[-1].response.source == HIT
        assert (line["attempts"], "age_s" in line) == (0, True)
        assert asked(sim) == 1


async def test_a_killed_daemon_leaves_a_store_that_opens(tmp_path: Path) -> None:
    """Its lock and its half-written pages keep nobody from starting."""
    async with Simulator() as sim:
        async with served(sim, tmp_path) as (daemon, caller):
            await asyncio.gather(
                *[caller.Generate(pb.GenerateRequest(prompt=f"p {n}")) for n in range(50)]
            )
            daemon.signal(signal.SIGKILL)
            await daemon.ended()
        async with served(sim, tmp_path) as (daemon, caller):
            answers = await asyncio.gather(
                *[caller.Generate(pb.GenerateRequest(prompt=f"p {n}")) for n in range(50)]
            )
            assert {answer.source for answer in answers} <= {UPSTREAM, HIT}
            assert all(answer.text for answer in answers)


async def test_a_thousand_equal_calls_are_one() -> None:
    """Unary and stream in any mix, at one moment: one request upstream, and the same for all."""
    async with Simulator() as sim, served(sim) as (daemon, caller):
        sim.play(Script.of({"fault": "slow_headers", "delay_s": 0.3, "times": "always"}))
        unary = [caller.Generate(QUESTION) for _ in range(500)]
        streams = [read(caller.StreamGenerate(QUESTION)) for _ in range(500)]
        whole = await asyncio.gather(*unary)
        streamed = await asyncio.gather(*streams)
        assert all(stream.failure is None and stream.whole for stream in streamed)
        assert len({answer.text for answer in whole} | {s.text for s in streamed}) == 1
        told = [*whole, *[stream.messages[-1].response for stream in streamed]]
        sources = [answer.source for answer in told]
        assert (sources.count(UPSTREAM), asked(sim)) == (1, 1)
        assert set(sources) <= {UPSTREAM, COALESCED, HIT}
        assert sum(answer.usage.output_tokens > 0 for answer in told) == 1
        assert await metric(daemon, "sidecard_flights") == 0
        assert await metric(daemon, "sidecard_attempts_total") == 1
        assert await metric(daemon, "gen_ai_client_operation_duration_seconds_count") == 1
        assert await metric(daemon, 'sidecard_tokens_total{kind="output"') == max(
            answer.usage.output_tokens for answer in told
        )


async def test_a_question_may_be_written_in_several_ways() -> None:
    """With its defaults left out or spelled, and numbers in any form; what differs is asked."""
    block = {"text": {"text": SECRET}}
    same: list[dict[str, Any]] = [
        {"messages": [{"role": "ROLE_USER", "content": [block]}]},
        {"prompt": SECRET, "model": "default"},
        {"prompt": SECRET, "model": "claude-sonnet-5-5"},
        {"prompt": SECRET, "max_tokens": 4_096, "tenant": "default", "system": ""},
        {"prompt": SECRET, "priority": "PRIORITY_BATCH", "labels": {"team": "x"}, "extra": {}},
    ]
    others: list[dict[str, Any]] = [
        {"prompt": SECRET, "max_tokens": 4_095},
        {"prompt": SECRET, "system": " "},
        {"prompt": SECRET, "extra": {"temperature": 1}},
        {"prompt": SECRET, "cache": {"namespace": "n"}},
    ]
    async with Simulator() as sim, served(sim) as (_, caller):
        await caller.Generate(QUESTION)
        for form in same:
            answer = await caller.Generate(ParseDict(form, pb.GenerateRequest()))
            assert answer.source == HIT, form
        for number, form in enumerate(others, 2):
            request = ParseDict(form, pb.GenerateRequest())
            assert (await caller.Generate(request)).source == UPSTREAM, form
            assert (await caller.Generate(request)).source == HIT, form
            assert asked(sim) == number


@pytest.mark.parametrize("fault", ["truncate", "error", "reset"])
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
async def test_what_breaks_off_is_not_kept(fault: str, *, streamed: bool) -> None:
    """Without its end an answer is none: the next one who asks gets a whole one, asked anew."""
    step = {"fault": fault} | ({} if fault == "reset" else {"after_events": 4})
    more = {"upstream__unstreamed_max_tokens": "0"}
    async with Simulator() as sim, served(sim, None, more) as (daemon, caller):
        sim.play(Script.of({**step, "times": "always"}))
        if streamed:
            assert (await read(caller.StreamGenerate(QUESTION))).failure is not None
        else:
            await fails(caller.Generate(QUESTION))
        missing = pb.GenerateRequest(prompt=SECRET, cache=ONLY)
        assert (await fails(caller.Generate(missing))).reason == "NOT_CACHED"
        sim.play(Script.of())
        assert (await caller.Generate(QUESTION)).source == UPSTREAM
        assert (await caller.Generate(QUESTION)).source == HIT
        assert await metric(daemon, "sidecard_cache_entries") == 1


async def test_tenants_share_nothing() -> None:
    """Equal calls of two tenants are two, at one moment and later, and ONLY tells nothing."""
    theirs = pb.GenerateRequest(prompt=SECRET, tenant="theirs", cache=ONLY)
    unasked = pb.GenerateRequest(prompt="never asked", tenant="theirs", cache=ONLY)
    async with Simulator() as sim, served(sim) as (_, caller):
        sim.play(Script.of({"fault": "slow_headers", "delay_s": 0.2, "times": "always"}))
        ours = [caller.Generate(pb.GenerateRequest(prompt=SECRET, tenant=t)) for t in ("a", "b")]
        assert [answer.source for answer in await asyncio.gather(*ours)] == [UPSTREAM] * 2
        assert asked(sim) == 2
        known, unknown = await fails(caller.Generate(theirs)), await fails(caller.Generate(unasked))
        assert (known.code, known.reason) == ("NOT_FOUND", "NOT_CACHED")
        assert (known.message, known.reason) == (unknown.message, unknown.reason)
        own = pb.GenerateRequest(prompt=SECRET, tenant="a", cache=ONLY)
        assert (await caller.Generate(own)).source == HIT
        assert asked(sim) == 2


async def test_the_last_to_leave_ends_the_flight() -> None:
    """Any of those who share a call may leave; upstream ends with the last of them."""
    async with Simulator() as sim, served(sim) as (_, caller):
        sim.play(Script.of({"fault": "slow_headers", "delay_s": 5.0, "times": "always"}))
        calls = [caller.StreamGenerate(QUESTION) for _ in range(3)]
        reading = [asyncio.ensure_future(read(call)) for call in calls]
        await until(lambda: sim.books.requests_open == 1)
        for call in calls[:2]:
            call.cancel()
        await asyncio.wait(reading[:2])
        assert sim.books.requests_open == 1
        calls[2].cancel()
        await until(lambda: sim.books.requests_open == 0)
        await asyncio.wait(reading)
        assert asked(sim) == 1


async def test_each_keeps_its_own_deadline() -> None:
    """One who can't wait as long as the others fails alone."""
    async with Simulator() as sim, served(sim) as (_, caller):
        sim.play(Script.of({"fault": "slow_headers", "delay_s": 0.5, "times": "always"}))
        patient = asyncio.ensure_future(caller.Generate(QUESTION))
        hasty = await fails(caller.Generate(QUESTION, timeout=0.2))
        assert hasty.code == "DEADLINE_EXCEEDED"
        assert (await patient).text
        assert asked(sim) == 1


async def test_who_waits_longer_than_the_first_is_answered() -> None:
    """The one who began it gives up, and the others have their answer of the same request."""
    async with Simulator() as sim, served(sim) as (_, caller):
        sim.play(Script.of({"fault": "slow_headers", "delay_s": 0.5, "times": "always"}))
        hasty = asyncio.ensure_future(fails(caller.Generate(QUESTION, timeout=0.25)))
        await until(lambda: sim.books.open)
        patient = await caller.Generate(QUESTION)
        assert (await hasty).code == "DEADLINE_EXCEEDED"
        assert (patient.source, asked(sim)) == (UPSTREAM, 1)


async def test_an_old_answer_stands_in_when_all_targets_failed(tmp_path: Path) -> None:
    """Marked as stale and degraded, with its age; a caller who doesn't want it gets the error."""
    more = {"cache__ttl_s": "0.05", "routes__default__last_resorts": "[stale]"}
    async with Simulator() as sim, served(sim, tmp_path, more) as (daemon, caller):
        first = await caller.Generate(QUESTION)
        await asyncio.sleep(0.1)
        sim.play(Script.of({"fault": "status", "status": 529, "times": "always"}))
        answer = await caller.Generate(QUESTION)
        assert (answer.source, answer.degraded, answer.text) == (STALE, True, first.text)
        assert answer.age.ToTimedelta().total_seconds() >= 0.1
        assert len(answer.attempts) == 2
        streamed = await read(caller.StreamGenerate(QUESTION))
        assert (streamed.text, streamed.whole) == (first.text, True)
        other = pb.GenerateRequest(prompt=SECRET, tenant="other")
        assert (await fails(caller.Generate(other))).reason == "UPSTREAM_UNAVAILABLE"
        fresh = pb.CachePolicy(mode=pb.CachePolicy.MODE_REFRESH)
        refused = await fails(caller.Generate(pb.GenerateRequest(prompt=SECRET, cache=fresh)))
        assert refused.reason == "UPSTREAM_UNAVAILABLE"
        line = await daemon.logged("call", source="cache_stale")
        assert line["degraded"] is True
        assert await metric(daemon, 'sidecard_cache_calls_total{result="stale"') == 2


async def test_an_old_answer_is_given_while_a_new_one_comes() -> None:
    """Nobody waits, and the new one is there for the next; it is in the log as a call."""
    more = {"cache__ttl_s": "0.05", "cache__stale_while_revalidate_s": "60"}
    async with Simulator() as sim, served(sim, None, more) as (daemon, caller):
        await caller.Generate(QUESTION)
        await asyncio.sleep(0.1)
        old = await caller.Generate(QUESTION, metadata=(("x-request-id", "mine"),))
        assert old.source == STALE
        await daemon.logged("call", request_id="mine/refresh", outcome="completed")
        assert asked(sim) == 2


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
async def test_what_is_on_disk_is_nobody_else_s(tmp_path: Path, *, encrypted: bool) -> None:
    """Files are for the daemon's own user, and with a key they say nothing."""
    folder, key = tmp_path / "data", tmp_path / "key"
    key.write_text(os.urandom(32).hex() + "\n")
    more = {"cache__encryption_key_file": str(key)} if encrypted else {}
    async with Simulator() as sim:
        async with served(sim, folder, more) as (daemon, caller):
            first = await caller.Generate(QUESTION)
            daemon.signal(signal.SIGTERM)
            await daemon.ended()
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert stat.S_IMODE((folder / "cache").stat().st_mode) == 0o700
        word = first.text.encode()[:40]
        assert any(word in path.read_bytes() for path in files) is not encrypted
        async with served(sim, folder, more) as (_, caller):
            assert (await caller.Generate(QUESTION)).source == HIT


async def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    """At the start, with the field and the fix, and without a byte of the file."""
    key = tmp_path / "key"
    key.write_text("not-a-key-at-all")
    env = settings("http://127.0.0.1:9") | {
        "SIDECARD_CACHE__ENABLED": "true",
        "SIDECARD_DATA_DIR": str(tmp_path),
        "SIDECARD_CACHE__ENCRYPTION_KEY_FILE": str(key),
    }
    process = await spawn(env)
    _, told = await process.communicate()
    assert process.returncode == 2
    assert b"cache.encryption_key_file: " in told
    assert b"not-a-key" not in told


async def test_a_file_that_is_none_is_set_aside(tmp_path: Path) -> None:
    """The daemon serves and keeps answers, and says where the file is now."""
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache" / "data.mdb").write_bytes(os.urandom(65_536))
    async with Simulator() as sim, served(sim, tmp_path) as (daemon, caller):
        line = await daemon.logged("cache file set aside")
        assert Path(line["file"]).exists()
        await caller.Generate(QUESTION)
        assert (await caller.Generate(QUESTION)).source == HIT
        assert await metric(daemon, "sidecard_cache_set_aside_total") == 1


async def test_without_a_disk_it_serves(tmp_path: Path) -> None:
    """A folder that can't be is said, in a line and a metric; calls are answered all the same."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    async with Simulator() as sim, served(sim, blocked, opens=False) as (daemon, caller):
        line = await daemon.logged("cache out")
        assert str(blocked) in line["where"] or str(blocked) in line["why"]
        assert (await caller.Generate(QUESTION)).source == UPSTREAM
        assert await metric(daemon, "sidecard_cache_available") == 0


async def test_a_second_daemon_in_one_folder_serves_without_it(tmp_path: Path) -> None:
    """The folder is the first one's, and the second says so."""
    async with Simulator() as sim, served(sim, tmp_path) as (_, caller):
        async with served(sim, tmp_path, opens=False) as (daemon, other):
            await daemon.logged("cache out")
            assert (await other.Generate(QUESTION)).source == UPSTREAM
        assert (await caller.Generate(QUESTION)).source == UPSTREAM
