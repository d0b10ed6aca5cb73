"""What a hit of the cache costs, beside an echo of as many bytes, and with many answers kept.

The throughput is told as its inverse, the time per call with so many at once, so that less is
better as everywhere here.
"""

import asyncio
import json
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from statistics import mean
from time import monotonic, sleep
from typing import Any, Final

from tests.bench.bench import Bench, tell
from tests.bench.fill import MAX_BYTES
from tests.bench.jobs import Job, Kind
from tests.bench.processes import Running, free_port, module, process
from tests.bench.subjects import ECHO, FEW, SIDECARD, SUBJECTS, Ports, Subject
from tests.bench.usage import memory

_OPEN_S: Final = 60.0
MB: Final = 1_000_000
_DAEMON, *_ = SUBJECTS
_LIKE: Final = Subject(ECHO, lambda ports: module("echo", ports.own, "hit"), relays=False)


def _caching(folder: Path, admin: int) -> Subject:
    """Return the daemon with a cache on disk."""

    def settings(ports: Ports) -> Mapping[str, str]:
        return {
            **_DAEMON.settings(ports),
            "SIDECARD_CACHE__ENABLED": "true",
            "SIDECARD_CACHE__COALESCE": "true",
            "SIDECARD_CACHE__MAX_BYTES": str(MAX_BYTES),
            "SIDECARD_DATA_DIR": str(folder),
            "SIDECARD_LISTEN__ADMIN": f"127.0.0.1:{admin}",
        }

    return replace(_DAEMON, settings=settings)


async def hits(bench: Bench) -> None:
    """Measure a hit beside the echo."""
    counts = bench.counts
    with tempfile.TemporaryDirectory(prefix="sidecard-bench-") as folder:
        admin = free_port()
        async with AsyncExitStack() as closing:
            servers = {
                subject: await closing.enter_async_context(bench.serving(subject))
                for subject in (_caching(Path(folder), admin), _LIKE)
            }
            await asyncio.to_thread(_opened, admin, 0)
            for running in servers.values():
                await bench.load.do(Job("check", running.port, "unary"))
                await _calls(bench, running, "unary", counts.unary)
            for number in range(counts.rounds):
                tell("hit", number, counts.rounds)
                cpu, each = dict[str, float](), dict[str, float]()
                for subject, running in list(servers.items())[:: -1 if number % 2 else 1]:
                    found = await _calls(bench, running, "unary", counts.unary)
                    cpu[subject.name], each[subject.name] = found
                bench.results.add("hit_cpu", cpu)
                bench.results.add("hit_time", each)
            await asyncio.to_thread(_see_that_all_hit, admin)


async def _calls(bench: Bench, running: Running, kind: Kind, calls: int) -> tuple[float, float]:
    """Return microseconds of CPU for each call, and of time, with many at once."""
    concurrency = bench.counts.concurrency
    job = Job("calls", running.port, kind, calls, concurrency, (running.pid,))
    took = await bench.load.do(job)
    return took.cpu_ns[0] / calls / 1e3, mean(took.latencies_ns) / concurrency / 1e3


async def kept(bench: Bench) -> None:
    """Measure a hit with a thousand answers kept, and with a million; and what they take."""
    counts = bench.counts
    with tempfile.TemporaryDirectory(prefix="sidecard-bench-") as folder:
        servers: dict[str, Running] = {}
        async with AsyncExitStack() as closing:
            for name, count in ((FEW, 1_000), (SIDECARD, counts.kept_answers)):
                tell(f"filling a store with {count:,}", 0, 1)
                own, admin = Path(folder) / str(count), free_port()
                await _fill(bench, own / "cache", count)
                subject = _caching(own, admin)
                servers[name] = await closing.enter_async_context(bench.serving(subject))
                await asyncio.to_thread(_opened, admin, count)
                await _calls(bench, servers[name], "unary", counts.unary)
            held = {name: memory(each.pid).anonymous_bytes for name, each in servers.items()}
            bench.results.add("kept_memory", {SIDECARD: (held[SIDECARD] - held[FEW]) / MB})
            for number in range(counts.rounds):
                tell("kept", number, counts.rounds)
                found: dict[str, float] = {}
                for name in (FEW, SIDECARD) if number % 2 else (SIDECARD, FEW):
                    found[name], _ = await _calls(bench, servers[name], "unary", counts.unary)
                bench.results.add("kept_cpu", found)


async def _fill(bench: Bench, folder: Path, count: int) -> None:
    folder.mkdir(parents=True, mode=0o700)
    argv = [sys.executable, "-m", "tests.bench.fill", str(folder), str(count)]
    async with process(argv, {}, bench.cores.rest) as child:
        if await child.wait():
            raise RuntimeError("the store couldn't be filled")


def _status(admin: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/status.json") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _see_that_all_hit(admin: int) -> None:
    """Raise RuntimeError where another call than the first went upstream: that is no hit's cost."""
    calls = _status(admin)["cache_calls"]
    if set(calls) != {"default hit", "default miss"} or calls["default miss"] != 1:
        raise RuntimeError(f"not all calls were hits: {calls}")


def _opened(admin: int, count: int) -> None:
    """Return when the daemon's store is open and has looked at all of it."""
    until = monotonic() + _OPEN_S
    while monotonic() < until:
        cache = _status(admin)["cache"]
        if not cache["why"] and cache["entries"] >= count:
            return
        sleep(0.2)
    raise RuntimeError("the store didn't open in time")
