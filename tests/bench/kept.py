"""What a call costs while few or many are in flight, at the same pace of calls.

The upstream takes the longer to answer the more are in flight, so that only their number differs.
Daemon and relay are called at once: each has its own CPU clock, and both the same machine.
"""

from contextlib import AsyncExitStack

from tests.bench.bench import Bench, tell
from tests.bench.figures import Round
from tests.bench.jobs import Job


async def waiting(bench: Bench) -> None:
    """Measure with few, with many, and with few again."""
    counts = bench.counts
    half = counts.kept_rounds // 2
    few = await _cpu(bench, counts.few, half)
    many = await _cpu(bench, counts.many, counts.kept_rounds)
    few += await _cpu(bench, counts.few, counts.kept_rounds - half)
    for with_few, with_many in zip(few, many, strict=False):
        bench.results.add("waiting_few", with_few)
        bench.results.add("waiting_many", with_many)
        flat = {name: with_many[name] / with_few[name] for name in with_few}
        bench.results.add("waiting_flat", flat)


async def _cpu(bench: Bench, level: int, rounds: int) -> list[Round]:
    """Return microseconds per call, of each round, with `level` calls in flight at each server.

    The servers are new: those that many have left at once would still be busy with that.
    """
    counts, found = bench.counts, list[Round]()
    period_s = level / counts.kept_per_s
    async with AsyncExitStack() as closing:
        servers = {
            subject: await closing.enter_async_context(bench.serving(subject))
            for subject in bench.subjects
            if subject.relays
        }
        for running in servers.values():
            await bench.load.do(Job("calls", running.port, calls=counts.unary // 2, concurrency=16))
        for running in servers.values():
            job = Job("keep", running.port, concurrency=level, seconds=period_s)
            await bench.load.do(job)
        watch = tuple([running.pid for running in servers.values()])
        await bench.load.do(Job("watch", seconds=period_s + counts.settle_s))
        for number in range(rounds):
            tell(f"waiting @{level:,}", number, rounds)
            took = await bench.load.do(Job("watch", watch=watch, seconds=counts.kept_s))
            if all(took.answered):  # Else the machine stood still.
                each = zip(servers, took.cpu_ns, took.answered, strict=True)
                found.append({subject.name: cpu / calls / 1e3 for subject, cpu, calls in each})
        await bench.load.do(Job("stop_keeping"))
    return found
