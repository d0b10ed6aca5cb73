"""A run's means: what is measured, with what, how often, and what came out so far."""

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.bench.figures import Round
from tests.bench.processes import Cores, LoadProcess, Running, Worker, listening
from tests.bench.subjects import Subject


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of everything. A round that would begin after its budget is left out.

    Many short rounds: what else the machine does weighs on both sides of a round's ratio.
    """

    rounds: int = 12
    fresh_rounds: int = 5
    concurrency: int = 16
    unary: int = 500
    alone: int = 150
    first: int = 25
    burst: int = 60
    streams: int = 1_000
    settle_s: float = 0.3
    inside_rounds: int = 7
    loops: int = 500
    layered: int = 500
    held: int = 500
    kept_rounds: int = 8
    kept_s: float = 0.75
    kept_per_s: int = 300
    few: int = 16
    many: int = 2_000
    kept_answers: int = 1_000_000
    fresh_budget_s: float = 95.0
    whole_budget_s: float = 145.0


@dataclass
class Results:
    """The rounds of each figure so far, and what the load and the mock cost meanwhile."""

    rounds: dict[str, list[Round]] = field(default_factory=dict)
    costs: dict[str, list[Round]] = field(default_factory=dict)

    def add(self, key: str, values: Round) -> None:
        self.rounds.setdefault(key, []).append(values)

    def add_cost(self, key: str, values: Round) -> None:
        self.costs.setdefault(key, []).append(values)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that a measurement needs."""

    subjects: Sequence[Subject]
    upstream: Running
    load: LoadProcess
    inside: Worker
    cores: Cores
    counts: Counts
    log: Path
    results: Results
    began_s: float = field(default_factory=monotonic)

    def rounds(self, count: int, budget_s: float) -> Iterator[int]:
        """Yield the numbers of rounds: `count` of them, but one at least, within the budget."""
        for number in range(count):
            if number and monotonic() > self.began_s + budget_s:
                return
            yield number

    @asynccontextmanager
    async def serving(self, subject: Subject) -> AsyncIterator[Running]:
        """Run a subject that takes connections, and has had no call yet."""
        async with subject.run(self.upstream, self.cores, self.log) as running:
            await listening(running)
            yield running


def tell(what: str, number: int, of: int) -> None:
    """Say on standard error which round of what begins, counted from 0."""
    print(f"{what}: round {number + 1} of {of}", file=sys.stderr, flush=True)
