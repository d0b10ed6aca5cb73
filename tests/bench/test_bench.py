"""The bench end to end, with a handful of calls: that it measures, not what comes out."""

import sys

import pytest

from tests.bench.bench import Counts, Results
from tests.bench.figures import FIGURES, Group
from tests.bench.processes import Cores
from tests.bench.run import run
from tests.bench.subjects import BARE, ECHO, RELAY, SIDECARD, SUBJECTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench needs Linux")

FLOORS = [subject for subject in SUBJECTS if subject.name in (RELAY, ECHO)]
CACHED: tuple[Group, ...] = ("hit", "kept")
FEW = Counts(
    rounds=1, fresh_rounds=1, unary=8, concurrency=4, alone=2, first=2, burst=2, streams=5,
    settle_s=0.05, inside_rounds=1, loops=3, layered=10, held=3,
    kept_answers=2_000, kept_rounds=2, kept_s=0.2, kept_per_s=100, few=2, many=20,
)  # fmt: skip


async def test_everything_but_the_daemon_is_measured() -> None:
    """A run yields every figure of each floor that has it, after seeing that answers are right."""
    results = Results()
    floors = [figure for figure in FIGURES if figure.group not in CACHED]
    groups = {figure.group for figure in floors}
    await run(FLOORS, groups, FEW, Cores.choose(pin=False), results)
    assert set(results.rounds) == {figure.key for figure in floors}
    for figure in floors:
        measured = set(results.rounds[figure.key][0])
        assert figure.floor in measured or figure.key == "flat_net"
        assert (SIDECARD in measured) == (figure.floor == BARE)
    assert set(results.rounds["unary_cpu"][0]) == {RELAY, ECHO}
    assert all(cost > 0 for cost in results.costs["load_cpu_us"][0].values())


async def test_hits_are_measured() -> None:
    """Of the daemon and its floor alike, and every call of them is a hit."""
    results = Results()
    await run(FLOORS, CACHED, FEW, Cores.choose(pin=False), results)
    assert set(results.rounds) == {f.key for f in FIGURES if f.group in CACHED}
    assert set(results.rounds["hit_cpu"][0]) == {SIDECARD, ECHO}
    assert set(results.rounds["kept_cpu"][0]) == {SIDECARD, "few"}
