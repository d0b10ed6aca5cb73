"""`sidecard check`: lists every mistake in a configuration, and starts nothing."""

import argparse
import os
from typing import Final

from sidecard.cli import configured

_MEANING: Final = {
    "direct": "the API, with a key",
    "sdk": "the anthropic package's client",
    "simulated": "the SIMULATOR: no model is asked",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    configured.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Say what is wrong and return 2, or that nothing is and return 0."""
    plan = configured.plan(arguments, os.environ)
    if plan is None:
        return 2
    print(f"The configuration is good. Answers come from {_MEANING[plan.upstream]}.")
    return 0
