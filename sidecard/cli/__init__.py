"""The command line: `sidecard COMMAND`; `main.COMMANDS` has all of them."""

from sidecard.cli.main import main

__all__ = ["main"]
