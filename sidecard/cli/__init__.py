"""The command line: `sidecard serve | check | call | simulate`."""

from sidecard.cli.main import main

__all__ = ["main"]
