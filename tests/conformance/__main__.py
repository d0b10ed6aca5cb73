"""`python -m tests.conformance CLIENT…`: play every vector to those clients, and say who passes."""

import argparse
import asyncio
import sys

from tests.conformance import vectors
from tests.conformance.driver import COMMANDS, EXAMPLES, driving, example
from tests.conformance.play import play
from tests.conformance.stage import staged
from tests.conformance.vectors import Vector


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("clients", nargs="+", choices=COMMANDS, metavar="CLIENT")
    parser.add_argument("-k", metavar="TEXT", default="", help="only vectors with it in their name")
    return parser.parse_args()


async def _client(client: str, chosen: list[Vector]) -> int:
    """Play those vectors to one client; return how many it fails."""
    failed = 0
    async with driving(client) as driver, staged() as stage:
        for vector in chosen:
            try:
                wrong = await play(vector, driver, stage)
            except RuntimeError as error:  # Without its driver, no further vector can be played.
                print(f"{client} breaks down at {vector.name!r}: {error}")
                return len(chosen)
            if wrong:
                failed += 1
                print(f"{client} fails {vector.name!r}: {vector.promise}", *wrong, sep="\n    ")
    print(f"{client}: {len(chosen) - failed} of {len(chosen)} vectors pass")
    return failed


async def _example(client: str) -> bool:
    """Run a client's example; return whether it fails."""
    async with staged() as stage:
        wrong = await example(client, await stage.set({}, []))
    print(f"{client}'s example " + (f"fails:\n{wrong}" if wrong else "runs as its README says"))
    return bool(wrong)


async def _main(arguments: argparse.Namespace) -> int:
    chosen = [vector for vector in vectors.read() if arguments.k in vector.name]
    failed = [await _client(client, chosen) for client in arguments.clients]
    if not arguments.k:
        failed += [await _example(client) for client in arguments.clients if client in EXAMPLES]
    return 1 if any(failed) or not chosen else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(_arguments())))
