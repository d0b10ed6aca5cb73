"""`sidecard check`: lists every mistake in a configuration, and starts nothing."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from sidecard.cli import configured
from sidecard.config.listen import Listen

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
    if (wrong := _tokens(plan.loaded.config.listen)) is not None:
        print(f"sidecard: {wrong}", file=sys.stderr)
        return 2
    print(f"The configuration is good. Answers come from {_MEANING[plan.upstream]}.")
    return 0


def _tokens(listen: Listen) -> str | None:
    """Return what is wrong with the callers' tokens."""
    if listen.tokens_file is None:
        return None
    from sidecard.server.bad_files import BadTokens  # noqa: PLC0415
    from sidecard.server.caller_tokens import CallerTokens  # noqa: PLC0415  # few have it

    try:
        CallerTokens(Path(listen.tokens_file))
    except BadTokens as error:
        return str(error)
    return None
