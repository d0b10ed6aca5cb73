"""The bench end to end, with a handful of calls: that it measures, not what comes out."""

import sys

import pytest

from tests.bench.bench import Counts, Results
from tests.bench.figures import FIGURES
from tests.bench.processes import Cores
from tests.bench.run import run
from tests.bench.subjects import ECHO, RELAY, SUBJECTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench needs Linux")

FLOORS = [subject for subject in SUBJECTS if subject.name in (RELAY, ECHO)]
FEW = Counts(
    rounds=1, fresh_rounds=1, unary=8, concurrency=4, alone=2, first=2, burst=2, streams=5,
    settle_s=0.05,
)  # fmt: skip


async def test_the_floors_are_measured() -> None:
    """A run yields every figure of each floor that has it, after seeing that answers are right."""
    results = Results()
    groups = {figure.group for figure in FIGURES}
    await run(FLOORS, groups, FEW, Cores.choose(pin=False), results)
    assert set(results.rounds) == {figure.key for figure in FIGURES}
    assert all(set(rounds[0]) >= {RELAY} for rounds in results.rounds.values())
    assert set(results.rounds["unary_cpu"][0]) == {RELAY, ECHO}
    assert all(cost > 0 for cost in results.costs["load_cpu_us"][0].values())
