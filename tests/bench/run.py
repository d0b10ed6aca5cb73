"""One run: the groups in turn, the subjects in turn within each round."""

import resource
import tempfile
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.bench import hits, kept, measure
from tests.bench.bench import Bench, Counts, Results, tell
from tests.bench.figures import Group
from tests.bench.jobs import InsideJob, Job, Kind, What
from tests.bench.processes import Cores, Running, inside, load, mock_upstream
from tests.bench.subjects import Subject

WARM: Mapping[Kind, measure.WarmRound] = {
    "unary": measure.unary,
    "first": measure.first,
    "burst": measure.burst,
}
FRESH: Mapping[Group, measure.FreshRound] = {
    "memory": measure.idle,
    "start": measure.start,
    "streams": measure.streams,
}


async def run(
    subjects: Sequence[Subject],
    groups: Collection[Group],
    counts: Counts,
    cores: Cores,
    results: Results,
) -> None:
    """Measure what is asked for, into `results`, which keeps what a run that breaks off had."""
    _raise_open_files()
    async with AsyncExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="sidecard-bench-"))
        bench = Bench(
            subjects,
            upstream=await closing.enter_async_context(mock_upstream(cores)),
            load=await closing.enter_async_context(load(cores)),
            inside=await closing.enter_async_context(inside(cores)),
            cores=cores,
            counts=counts,
            log=Path(folder) / "log",
            results=results,
        )
        await _inside(bench, groups)
        if "waiting" in groups:
            await kept.waiting(bench)
        if "hit" in groups:
            await hits.hits(bench)
        if "kept" in groups:
            await hits.kept(bench)
        await _fresh(bench, groups)
        await _warm(bench, groups)


async def _inside(bench: Bench, groups: Collection[Group]) -> None:
    """Measure what needs no server."""
    counts = bench.counts
    times: Mapping[What, int] = {
        "decisions": counts.loops,
        "layers": counts.layered,
        "flat": counts.held,
    }
    chosen = {what: each for what, each in times.items() if what in groups}
    if not chosen:
        return
    for number in bench.rounds(counts.inside_rounds, counts.fresh_budget_s):
        tell(", ".join(chosen), number, counts.inside_rounds)
        for what, each in chosen.items():
            await measure.inside(bench, InsideJob(what, each))


async def _fresh(bench: Bench, groups: Collection[Group]) -> None:
    """Measure what needs new processes each time."""
    chosen, counts = [group for group in FRESH if group in groups], bench.counts
    if not chosen:
        return
    for subject in bench.subjects:  # The first start of all reads the disk and writes bytecode.
        async with bench.serving(subject):
            pass
    for number in bench.rounds(counts.fresh_rounds, counts.fresh_budget_s):
        tell(", ".join(chosen), number, counts.fresh_rounds)
        for group in chosen:
            await FRESH[group](bench)


async def _warm(bench: Bench, groups: Collection[Group]) -> None:
    """Measure what is asked of the same processes again and again."""
    kinds, counts = [kind for kind in WARM if kind in groups], bench.counts
    if not kinds:
        return
    async with _all_serving(bench) as servers:
        for subject, running in servers.items():
            await _warm_up(bench, subject, running)
        for number in bench.rounds(counts.rounds, counts.whole_budget_s):
            tell(", ".join(kinds), number, counts.rounds)
            # Each goes first as often as last, as a machine gets faster or slower meanwhile.
            turn = dict(list(servers.items())[:: -1 if number % 2 else 1])
            for kind in kinds:
                await WARM[kind](bench, turn)


@asynccontextmanager
async def _all_serving(bench: Bench) -> AsyncIterator[dict[Subject, Running]]:
    async with AsyncExitStack() as closing:
        yield {
            subject: await closing.enter_async_context(bench.serving(subject))
            for subject in bench.subjects
        }


async def _warm_up(bench: Bench, subject: Subject, running: Running) -> None:
    """See that the answers are right before they are timed, and open the connections."""
    kinds: Iterable[Kind] = WARM if subject.relays else ("unary",)
    for kind in kinds:
        await bench.load.do(Job("check", running.port, kind))
    calls, concurrency = bench.counts.unary // 2, bench.counts.concurrency
    await bench.load.do(Job("calls", running.port, "unary", calls, concurrency))


def _raise_open_files() -> None:
    """Let this process and those it starts have the files that 1,000 open streams take."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
