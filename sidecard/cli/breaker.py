"""`sidecard breaker reset`: close a target's breaker in a running daemon after a fault."""

import argparse
from functools import partial
from typing import TYPE_CHECKING

from sidecard.cli import operator, show

if TYPE_CHECKING:
    from sidecard_client.operator import Operator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command and its flags."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="reset")
    reset = commands.add_parser("reset", help="close it; needs the operator's token")
    reset.add_argument("target", nargs="?", default="", help="whose, as sidecard status names it")
    reset.add_argument(
        "--everything", action="store_true", help="all, but for those that breaker.mode holds"
    )
    operator.add_arguments(reset)


def run(arguments: argparse.Namespace) -> int:
    """Give the order; return 0, 1 when the daemon refused, 2 when it can't be so."""
    if bool(arguments.target) is arguments.everything:
        return show.complain(arguments, "say whose: a target, or else --everything", 2)
    return operator.order(arguments, partial(_reset, arguments))


def _reset(arguments: argparse.Namespace, daemon: "Operator") -> list[str]:
    closed = daemon.reset_breaker(arguments.target, everything=arguments.everything)
    return [f"closed: {target}" for target in closed] or ["none was open"]
