"""The bench end to end, with a handful of calls: that it measures, not what comes out."""

import sys

import pytest

from tests.bench.bench import Counts, Results
from tests.bench.figures import FIGURES
from tests.bench.processes import Cores
from tests.bench.run import run
from tests.bench.subjects import BARE, ECHO, RELAY, SIDECARD, SUBJECTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench needs Linux")

FLOORS = [subject for subject in SUBJECTS if subject.name in (RELAY, ECHO)]
FEW = Counts(
    rounds=1, fresh_rounds=1, unary=8, concurrency=4, alone=2, first=2, burst=2, streams=5,
    settle_s=0.05, inside_rounds=1, loops=3, layered=10, held=3,
    kept_rounds=2, kept_s=0.2, kept_per_s=100, few=2, many=20,
)  # fmt: skip


async def test_everything_but_the_daemon_is_measured() -> None:
    """A run yields every figure of each floor that has it, after seeing that answers are right."""
    results = Results()
    groups = {figure.group for figure in FIGURES}
    await run(FLOORS, groups, FEW, Cores.choose(pin=False), results)
    assert set(results.rounds) == {figure.key for figure in FIGURES}
    for figure in FIGURES:
        measured = set(results.rounds[figure.key][0])
        assert figure.floor in measured or figure.key == "flat_net"
        assert (SIDECARD in measured) == (figure.floor == BARE)
    assert set(results.rounds["unary_cpu"][0]) == {RELAY, ECHO}
    assert all(cost > 0 for cost in results.costs["load_cpu_us"][0].values())
