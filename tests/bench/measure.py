"""The measurements: each is one round of one group, and adds what it found to the results."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from typing import Final, TypeAlias

from tests.bench.bench import Bench
from tests.bench.jobs import InsideJob, Job, Kind
from tests.bench.payload import BURST_DELTAS
from tests.bench.processes import Running
from tests.bench.subjects import BARE, SIDECARD, Subject
from tests.bench.usage import memory

Servers: TypeAlias = Mapping[Subject, Running]
WarmRound: TypeAlias = Callable[[Bench, Servers], Awaitable[None]]
FreshRound: TypeAlias = Callable[[Bench], Awaitable[None]]

MB: Final = 1_000_000
KB: Final = 1_000


async def unary(bench: Bench, servers: Servers) -> None:
    """Whole answers: what they cost many at a time, and what one alone waits."""
    counts = bench.counts
    cpu, own, mock = {}, {}, {}
    for subject, running in servers.items():
        watch = (running.pid, bench.upstream.pid)
        job = Job("calls", running.port, "unary", counts.unary, counts.concurrency, watch)
        took = await bench.load.do(job)
        cpu[subject.name], mock[subject.name] = (ns / counts.unary / 1e3 for ns in took.cpu_ns)
        own[subject.name] = took.own_cpu_ns / counts.unary / 1e3
    bench.results.add("unary_cpu", cpu)
    bench.results.add_cost("load_cpu_us", own)
    bench.results.add_cost("mock_cpu_us", mock)
    await _added(bench, servers, "unary_added", "unary", counts.alone)


async def first(bench: Bench, servers: Servers) -> None:
    """The first delta of a stream whose deltas come one by one."""
    await _added(bench, _relaying(servers), "first_added", "first", bench.counts.first)


async def _added(bench: Bench, servers: Servers, key: str, kind: Kind, calls: int) -> None:
    """Take the median latency of one call at a time, less that of the mock without a server.

    Nothing is taken from the echo's, which has no upstream.
    """
    alone = await bench.load.do(Job("direct", bench.upstream.port, kind, calls))
    base_ns = median(alone.latencies_ns)
    added = {}
    for subject, running in servers.items():
        took = await bench.load.do(Job("calls", running.port, kind, calls))
        upstream_ns = base_ns if subject.relays else 0
        added[subject.name] = (median(took.latencies_ns) - upstream_ns) / 1e6
    bench.results.add(key, added)
    bench.results.add_cost(f"{kind}_direct_ms", {"mock": base_ns / 1e6})


async def burst(bench: Bench, servers: Servers) -> None:
    """Streams whose deltas come all at once: the CPU of the whole call, by its deltas."""
    calls, cpu = bench.counts.burst, {}
    for subject, running in _relaying(servers).items():
        watch = (running.pid,)
        took = await bench.load.do(Job("calls", running.port, "burst", calls, watch=watch))
        cpu[subject.name] = took.cpu_ns[0] / calls / BURST_DELTAS / 1e3
    bench.results.add("burst_cpu", cpu)


async def inside(bench: Bench, job: InsideJob) -> None:
    """What is decided for a call, and the layers that ask for it, in a process of its own."""
    found: dict[str, list[float]] = await bench.inside.ask(job)
    for key, values in found.items():
        bench.results.add(key, dict(zip((SIDECARD, BARE), values, strict=False)))


async def idle(bench: Bench) -> None:
    """What a server holds that has had no call."""
    rss, pss = {}, {}
    for subject in bench.subjects:
        async with bench.serving(subject) as running:
            await asyncio.sleep(bench.counts.settle_s)
            held = memory(running.pid)
        rss[subject.name], pss[subject.name] = held.rss_bytes / MB, held.pss_bytes / MB
    bench.results.add("idle_rss", rss)
    bench.results.add("idle_pss", pss)


async def start(bench: Bench) -> None:
    """From the start of a process to its first answer, with a caller who tries all the while."""
    took_s = {}
    for subject in bench.subjects:
        async with subject.run(bench.upstream, bench.cores, bench.log) as running:
            took = await bench.load.do(Job("first_answer", running.port))
        took_s[subject.name] = (took.at_ns - running.began_ns) / 1e9
    bench.results.add("start", took_s)


async def streams(bench: Bench) -> None:
    """How much a server grows by each stream that stays open. It has had some calls before."""
    count, each = bench.counts.streams, {}
    for subject in [subject for subject in bench.subjects if subject.relays]:
        async with bench.serving(subject) as running:
            await bench.load.do(Job("calls", running.port, "unary", 160, 16))
            await bench.load.do(Job("calls", running.port, "burst", 16, 4))
            await asyncio.sleep(bench.counts.settle_s)
            before = memory(running.pid)
            await bench.load.do(Job("hold", running.port, calls=count))
            await asyncio.sleep(bench.counts.settle_s)
            after = memory(running.pid)
            await bench.load.do(Job("let_go", running.port))
        each[subject.name] = (after.rss_bytes - before.rss_bytes) / count / KB
    bench.results.add("stream_rss", each)


def _relaying(servers: Servers) -> dict[Subject, Running]:
    return {subject: running for subject, running in servers.items() if subject.relays}
