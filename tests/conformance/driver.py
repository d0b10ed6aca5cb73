"""A client's conformance driver: a program that makes calls as it is told, and reports them.

It reads one job a line on standard input and writes one report a line on standard output;
clients/conformance/README.md says what is in them.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.conformance.vectors import ROOT, Json

PYTHON: Final = "clients/python/conformance/driver.py"
_CLASSES: Final = "target/classes:target/test-classes:target/lib/*"
JAVA: Final = "dev.sidecard.client.ConformanceDriver"
COMMANDS: Final[dict[str, tuple[Path, Sequence[str]]]] = {
    "python": (ROOT, [sys.executable, PYTHON]),
    "python-blocking": (ROOT, [sys.executable, PYTHON, "--blocking"]),
    "go": (ROOT, ["build/conformance/go"]),
    "typescript": (ROOT / "clients/typescript", ["node", "dist/conformance/driver.js"]),
    "rust": (ROOT / "clients/rust", ["target/debug/examples/conformance"]),
    "java": (
        ROOT / "clients/java",
        ["java", "-cp", _CLASSES, JAVA],
    ),
}
"""For each client, where its driver is started and how; it is built before."""

EXAMPLES: Final[dict[str, Sequence[str]]] = {
    "go": ["go", "run", "./example"],
    "typescript": ["node", "dist/examples/ask.js"],
    "rust": ["cargo", "run", "--quiet", "--locked", "--example", "ask"],
    "java": ["java", "-cp", _CLASSES, "dev.sidecard.example.Ask"],
}
"""How the example is run that a client's README names. Python's has a test of its own."""

ANSWER_S: Final = 30.0
_LINE_BYTES: Final = 1 << 26


class Driver:
    """A running driver."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def report(self, job: Json) -> Json:
        """Have a job done; RuntimeError if the driver ends or says nothing in time."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(job).encode() + b"\n")
        await stdin.drain()
        try:
            async with asyncio.timeout(ANSWER_S):
                line = await stdout.readline()
        except TimeoutError:
            raise RuntimeError(f"the driver was silent for {ANSWER_S:g} s") from None
        if not line:
            raise RuntimeError(f"the driver ended with {await self._process.wait()}")
        report: Json = json.loads(line)
        return report


@asynccontextmanager
async def driving(client: str) -> AsyncIterator[Driver]:
    """Run a client's driver until the block ends."""
    folder, command = COMMANDS[client]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    try:
        yield Driver(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def example(client: str, address: str) -> str:
    """Run a client's example before a daemon; return what is wrong with what it printed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *EXAMPLES[client],
        "Why is the sky blue?",
        cwd=ROOT / "clients" / client,
        env=_environment() | {"SIDECARD_ADDRESS": address},
        stdout=pipe,
        stderr=pipe,
    )
    told, wrong = await process.communicate()
    whole = "sky blue" in told.decode() and "stopped at end_turn" in told.decode()
    return "" if whole and process.returncode == 0 else (told + wrong).decode()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "SIDECARD_ADDRESS"}
    return {**kept, "PYTHONPATH": str(ROOT / "clients/python/src"), "GRPC_VERBOSITY": "ERROR"}


def packed(message: Any) -> str:
    """Return a message of the contract as a job holds it."""
    return base64.b64encode(message.SerializeToString()).decode()


def unpacked(kind: Any, text: str) -> Any:
    """Return a message of the contract that a report holds."""
    return kind.FromString(base64.b64decode(text))
