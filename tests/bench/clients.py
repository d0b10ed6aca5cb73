"""What a call costs its caller: each client beside Anthropic's own SDK in the same language.

The SDK asks the mock upstream directly, the client asks a daemon that asks the mock. Counted is the
processor time of the calling process alone, all its threads. Run by hand; `docs/clients.md` has how
and what came of it:

    python -m tests.bench.clients [--rounds 7] [python python-async go typescript java rust]
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from tests.bench import payload
from tests.bench.processes import (
    ROOT,
    Cores,
    listening,
    mock_upstream,
    module,
    plain_environment,
    process,
)
from tests.bench.subjects import SIDECARD, SUBJECTS
from tests.bench.usage import cpu_ns

_WARM_ROUNDS: Final = 3
_WHOLE_FROM_US: Final = 100
_JOBS: Final = {
    "unary": (200, payload.PLAIN, len(payload.TEXT)),
    "burst": (20, payload.BURST, len(payload.text_of(payload.BURST_DELTAS))),
    "events": (20, payload.BURST, len(payload.text_of(payload.BURST_DELTAS))),
}
"""Calls in a round, their prompt, and the length of the text that each has to give."""

_NO_SDK: Final = ("rust", "sdk")
"""Anthropic has none."""

Key = tuple[str, str, str]
"""A language, whose client ("sdk" or "client"), and a job."""


def commands(whose: str, folder: Path) -> dict[str, list[str]]:
    """Return what makes calls in each language, but for the port; `folder` has what was built."""
    java = [str(folder / "java"), str(ROOT / "clients/java/target/classes")]
    java += [str(ROOT / "clients/java/target/lib/*"), str(folder / "java/lib/*")]
    return {
        "python": module("calls", whose),
        "python-async": module("calls", f"async-{whose}"),
        "go": [str(folder / "go"), whose],
        "typescript": ["node", str(ROOT / "clients/bench/calls.mjs"), whose],
        "java": ["java", "-cp", ":".join(java), "Calls", whose],
        "rust": [str(folder / "rust/release/sidecard-bench"), whose],
    }


def _builds(folder: Path) -> dict[str, list[list[str]]]:
    """Return the commands that build what makes calls into the folder, by language."""
    bench, java = ROOT / "clients/bench", folder / "java"
    classes = f"{ROOT}/clients/java/target/classes:{ROOT}/clients/java/target/lib/*:{java}/lib/*"
    maven = ["mvn", "-B", "-q", "-f"]
    copied = ["dependency:copy-dependencies", f"-DoutputDirectory={java}/lib"]
    cargo = ["cargo", "build", "-q", "--release", "--manifest-path", f"{bench}/rust/Cargo.toml"]
    return {
        "go": [["go", "build", "-C", f"{bench}/go", "-o", f"{folder}/go", "."]],
        "java": [
            [*maven, f"{ROOT}/clients/java/pom.xml", "package", "-DskipTests"],
            [*maven, f"{bench}/java/pom.xml", *copied],
            ["javac", "-cp", classes, "-d", str(java), f"{bench}/java/Calls.java"],
        ],
        "rust": [[*cargo, "--target-dir", f"{folder}/rust"]],
    }


async def _build(languages: Sequence[str], folder: Path) -> None:
    for language, steps in _builds(folder).items():
        for step in steps if language in languages else ():
            build = await asyncio.create_subprocess_exec(*step)
            if await build.wait():
                raise SystemExit(f"what makes calls in {language} doesn't build: {step}")


async def _cost_us(child: asyncio.subprocess.Process, kind: str) -> float:
    """Have a process make a round of calls, and return what each cost it."""
    assert child.stdin is not None
    assert child.stdout is not None
    count, prompt, length = _JOBS[kind]
    began_ns = cpu_ns(child.pid)
    child.stdin.write(f"{kind} {count} {prompt}\n".encode())
    told = (await child.stdout.readline()).decode().strip()
    took_ns = cpu_ns(child.pid) - began_ns
    if told != str(length):
        raise SystemExit(f"{kind} gave {told!r}, and not {length} characters")
    return took_ns / count / 1e3


async def measure(languages: Sequence[str], rounds: int) -> dict[Key, list[float]]:
    """Return the microseconds of processor time per call, for each round."""
    costs = defaultdict[Key, list[float]](list)
    cores = Cores(None, None)
    daemon = next(subject for subject in SUBJECTS if subject.name == SIDECARD)
    async with AsyncExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        await _build(languages, folder)
        mock = await closing.enter_async_context(mock_upstream(cores))
        running = await closing.enter_async_context(daemon.run(mock, cores, folder / "log"))
        await listening(running)
        children = {
            (language, whose): await closing.enter_async_context(
                process(
                    [*commands(whose, folder)[language], str(port)],
                    plain_environment(),
                    None,
                    stdout=asyncio.subprocess.PIPE,
                )
            )
            for language in languages
            for whose, port in (("sdk", mock.port), ("client", running.port))
            if (language, whose) != _NO_SDK
        }
        for number in range(_WARM_ROUNDS + rounds):
            for (language, whose), child in list(children.items())[:: -1 if number % 2 else 1]:
                for kind in _JOBS if whose == "sdk" else ("unary", "burst"):
                    cost = await _cost_us(child, kind)
                    if number >= _WARM_ROUNDS:
                        costs[language, whose, kind].append(cost)
    return costs


def table(languages: Sequence[str], costs: dict[Key, list[float]]) -> str:
    """Return the medians as Markdown, and the least and the most beside them."""
    lines = ["| Language | Job | SDK, µs | Client, µs | Client / SDK |", "|---|---|--:|--:|--:|"]

    def cell(values: Sequence[float]) -> str:
        digits = 0 if min(values) > _WHOLE_FROM_US else 1
        median, least, most = statistics.median(values), min(values), max(values)
        return f"{median:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"

    for language in languages:
        for name, kind, ours, parts in (
            ("a call", "unary", "unary", 1),
            ("a delta, the message put together", "burst", "burst", payload.BURST_DELTAS),
            ("a delta, the SDK's events alone", "events", "burst", payload.BURST_DELTAS),
        ):
            sdk = [each / parts for each in costs[language, "sdk", kind]]
            client = [each / parts for each in costs[language, "client", ours]]
            if sdk:
                ratio = statistics.median(client) / statistics.median(sdk)
                beside = f"{cell(sdk)} | {cell(client)} | {ratio:.2f} |"
            elif kind != "events":
                beside = f"none | {cell(client)} | |"
            else:
                continue
            lines.append(f"| {language} | {name} | {beside}")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("languages", nargs="*")
    asked = parser.parse_args()
    languages = asked.languages or list(commands("sdk", Path()))
    costs = asyncio.run(measure(languages, asked.rounds))
    sys.stdout.write(table(languages, costs) + "\n")


if __name__ == "__main__":
    main()
