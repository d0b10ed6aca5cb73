"""What is measured within one process: decisions of policies, and the stack's layers.

A process of its own, so that it has the core of what is measured, and the heap of a daemon.
A job is a line of JSON on standard input, its result a line on standard output.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import uvloop

from tests.bench import decisions, stack
from tests.bench.jobs import InsideJob, What

Found: TypeAlias = dict[str, tuple[float, ...]]
"""Of each figure its own value, and its floor's where it has one."""

LEVELS: Final = (1, 16, 256, 2_000)
_STREAMS: Final = 20
"""How many unary calls take about as long as one stream."""


async def do(job: InsideJob) -> Found:
    """Do a job."""
    return await _JOBS[job.what](job.times)


async def _decisions(loops: int) -> Found:
    return {key: (own, floor) for key, own, floor in decisions.cost_us(loops)}


async def _layers(calls: int) -> Found:
    streams = max(1, calls // _STREAMS)
    return {
        "layers_unary": await stack.unary(calls),
        "layers_everything": await stack.everything(calls),
        "layers_stream": await stack.stream(streams),
        "layers_continued": await stack.continued(streams),
    }


async def _flat(calls: int) -> Found:
    found = {f"flat_{level}": await stack.in_flight(calls, level) for level in LEVELS}
    (least, least_floor), (most, most_floor) = (found[f"flat_{LEVELS[at]}"] for at in (0, -1))
    return {
        **found,
        "flat": (most / least, most_floor / least_floor),
        "flat_net": ((most - most_floor) / (least - least_floor),),
    }


_JOBS: Final[Mapping[What, Callable[[int], Awaitable[Found]]]] = {
    "decisions": _decisions,
    "layers": _layers,
    "flat": _flat,
}


async def _main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await do(InsideJob(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
