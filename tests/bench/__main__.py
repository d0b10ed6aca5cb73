"""`python -m tests.bench`: measure, print the table, write the JSON."""

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from tests.bench import report
from tests.bench.bench import Counts, Results
from tests.bench.figures import Group
from tests.bench.processes import ROOT, Cores
from tests.bench.run import run
from tests.bench.subjects import SUBJECTS
from tests.bench.usage import machine

LIMIT_S: Final = 420.0
QUICK: Final = Counts(
    rounds=4, fresh_rounds=2, unary=300, alone=100, first=15, burst=40, kept_answers=100_000
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure the daemon beside a relay without policy and a gRPC echo.",
    )
    groups = get_args(Group)
    parser.add_argument("--only", metavar="GROUPS", help=f"of {','.join(groups)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each figure")
    parser.add_argument("--quick", action="store_true", help="a rough look, in some 20 s")
    parser.add_argument("--no-pin", action="store_true", help="let processes change their core")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a figure is missed")
    parser.add_argument("--json", type=Path, default=ROOT / "build/bench.json", metavar="FILE")
    arguments = parser.parse_args()
    arguments.groups = (arguments.only or ",".join(groups)).split(",")
    if unknown := sorted(set(arguments.groups) - set(groups)):
        parser.error(f"no group is called {', '.join(unknown)}; there are {', '.join(groups)}")
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds has to be at least 1")
    return arguments


def _counts(arguments: argparse.Namespace) -> Counts:
    counts = QUICK if arguments.quick else Counts()
    rounds = arguments.rounds
    return replace(counts, rounds=rounds, fresh_rounds=rounds) if rounds else counts


async def _measure(arguments: argparse.Namespace, counts: Counts, results: Results) -> str:
    """Run, within the limit; return why it broke off, or nothing."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    cores = Cores.choose(pin=not arguments.no_pin)
    try:
        async with asyncio.timeout(LIMIT_S):
            await run(SUBJECTS, arguments.groups, counts, cores, results)
    except TimeoutError:
        return f"stopped after {LIMIT_S:g} s: this machine is too slow or too busy"
    except RuntimeError as error:
        return str(error)
    except asyncio.CancelledError:
        return "stopped by a signal"
    return ""


def main() -> int:
    """Return the exit status: 1 for a run that broke off, or with --strict for a missed figure."""
    if sys.platform != "linux":
        print("sidecard: make bench needs Linux, whose way of counting it uses", file=sys.stderr)
        return 1
    arguments = _arguments()
    counts, results = _counts(arguments), Results()
    here, began = machine(), time.monotonic()
    broken = asyncio.run(_measure(arguments, counts, results))
    measured = report.rows(results)
    print(report.table(measured), end="\n\n")
    for note in report.notes(results):
        print(note)
    took_s = time.monotonic() - began
    print(
        f"{here.cpu}, {here.cores} cores, Python {here.python}, load {here.load}, {took_s:.0f} s."
    )
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    found = report.as_json(results, here, counts)
    arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    print(f"The rounds are in {arguments.json}")
    if broken:
        print(f"sidecard: {broken}", file=sys.stderr)
        return 1
    missed = any(row.excess > 0 for row in measured)
    return 1 if missed and arguments.strict else 0


if __name__ == "__main__":
    sys.exit(main())
