"""Commands and their flags; each command's work is in its own module, imported when it is run."""

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

COMMANDS: Final = {
    "serve": "answer calls until a signal",
    "check": "check a configuration and list every mistake",
    "call": "ask a running daemon one question",
    "cache": "show or remove the answers that a running daemon keeps",
    "breaker": "close the breaker of a target of a running daemon",
    "reload": "have a running daemon read its configuration again",
    "budget": "show what is spent of the budgets of a running daemon",
    "usage": "show what calls used and cost, from its ledger",
    "status": "show breakers, limits and queues of a running daemon",
    "top": "show that and the last calls, again and again",
    "simulate": "run the simulated upstream",
}


class _Parser(argparse.ArgumentParser):
    """Tells what it doesn't know itself, with its own usage: argparse leaves that to the root."""

    def parse_known_args(  # type: ignore[override]  # none of ours is handed a namespace of a kind
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return what was given; leaves nothing over."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 done, 1 failed, 2 used or configured wrongly."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser(
        prog="sidecard",
        description="Dependable answers from a language model, beside your service.",
    )
    if "--version" in arguments:
        from importlib.metadata import version  # noqa: PLC0415  # 20 ms that no other command needs

        found = f"sidecard {version('sidecard')}"
        parser.add_argument("--version", action="version", version=found)
    else:
        parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((word for word in arguments if word in COMMANDS), None)
    if chosen == "serve" and hasattr(signal, "SIGHUP"):
        # One that comes before there is anything to reload would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for name, purpose in COMMANDS.items():
        sub = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if name == chosen:
            module = import_module(f"sidecard.cli.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    namespace = parser.parse_args(arguments)
    status: int = namespace.run(namespace)
    return status
