"""Run the checks and the tests of the clients, each in its own language, and then the vectors.

    python -m scripts.clients [--all] [CLIENT…]

A client whose toolchain isn't here is skipped, and named; with --all that is a failure.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Client:
    """What a client needs, and what is run in its folder, besides the vectors."""

    toolchain: tuple[str, ...]
    steps: tuple[Sequence[str], ...]


CLIENTS: Final = {
    "go": Client(
        ("go",),
        (
            ["sh", "-c", 'unformatted=$(gofmt -l .) && test -z "$unformatted"'],
            ["go", "vet", "./..."],
            ["go", "test", "./..."],
            ["go", "build", "-o", "../../build/conformance/go", "./internal/conformance"],
        ),
    ),
    "typescript": Client(
        ("node", "npm"),
        (
            ["npm", "ci", "--ignore-scripts", "--loglevel=error", "--no-audit", "--no-fund"],
            ["npm", "run", "--silent", "lint"],
            ["npm", "run", "--silent", "build"],
            ["npm", "test", "--silent"],
        ),
    ),
    "rust": Client(
        ("cargo",),
        (
            ["cargo", "fmt", "--check"],
            ["cargo", "clippy", "--quiet", "--locked", "--all-targets", "--", "-D", "warnings"],
            ["cargo", "test", "--quiet", "--locked"],
        ),
    ),
    "java": Client(("java", "mvn"), (["mvn", "-q", "-B", "package"],)),
}


def test(name: str) -> bool:
    """Run a client's steps and the vectors; return whether all pass."""
    folder = ROOT / "clients" / name
    vectors = [sys.executable, "-m", "tests.conformance", name]
    for step in CLIENTS[name].steps:
        if subprocess.run(step, cwd=folder, check=False).returncode:
            print(f"{name} fails: {' '.join(step)}")
            return False
    return not subprocess.run(vectors, cwd=ROOT, check=False).returncode


def main() -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts.clients")
    parser.add_argument("--all", action="store_true", help="fail where a toolchain is missing")
    parser.add_argument("clients", nargs="*", choices=[*CLIENTS, []], metavar="CLIENT")
    arguments = parser.parse_args()
    passed: list[str] = []
    failed: list[str] = []
    skipped: list[str] = []
    for name in arguments.clients or CLIENTS:
        missing = [tool for tool in CLIENTS[name].toolchain if which(tool) is None]
        if missing:
            skipped.append(f"{name} (there is no {' and no '.join(missing)})")
            continue
        began = time.monotonic()
        (passed if test(name) else failed).append(f"{name} ({time.monotonic() - began:.0f} s)")
    for what, names in ("passed", passed), ("failed", failed), ("skipped", skipped):
        if names:
            print(f"clients {what}: {', '.join(names)}")
    return 1 if failed or (skipped and arguments.all) else 0


if __name__ == "__main__":
    sys.exit(main())
