"""`sidecard reload`: have a running daemon read its configuration again, now."""

import argparse
from typing import TYPE_CHECKING

from sidecard.cli import operator

if TYPE_CHECKING:
    from sidecard_client.operator import Operator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    operator.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Give the order; return 0, 1 when the daemon refused, 2 without a token.

    A configuration with mistakes is refused whole, and the one before stays in force.
    """
    return operator.order(arguments, _reloaded)


def _reloaded(daemon: "Operator") -> list[str]:
    done = daemon.reload()
    waiting = [f"waits for a restart: {field}" for field in done.waiting_for_restart]
    return [f"in force: {done.sha256 or 'no file'}", *waiting]
