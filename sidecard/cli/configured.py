"""What `serve` and `check` share: flags that configure, and mistakes told in one way."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sidecard.config import load as loading
from sidecard.config import plan as planning
from sidecard.config.load import Attempt
from sidecard.config.problems import ConfigError

# Flag → the field that it sets.
_FLAGS: Final = {
    "listen": "listen.grpc",
    "base_url": "upstream.base_url",
    "api_key_file": "upstream.api_key_file",
    "simulate": "upstream.simulate",
    "log_level": "log.level",
    "log_format": "log.format",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags: the file, the fields that are set by hand most, and any field."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="a YAML file (default: $SIDECARD_CONFIG)"
    )
    for flag, field in _FLAGS.items():
        name = f"--{flag.replace('_', '-')}"
        parser.add_argument(name, metavar="VALUE", help=f"sets {field}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="sets any field, as timeouts.idle_s=20; may be repeated",
    )


def plan(arguments: argparse.Namespace, env: Mapping[str, str]) -> planning.Plan | None:
    """Return what is configured; or list every mistake on standard error and return None."""
    try:
        return read(arguments, env)
    except ConfigError as error:
        count = len(error.problems)
        mistakes = "one mistake" if count == 1 else f"{count} mistakes"
        print(f"sidecard: the configuration has {mistakes}:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return None


def read(arguments: argparse.Namespace, env: Mapping[str, str]) -> planning.Plan:
    """Return what is configured; raises `ConfigError` with every mistake."""
    return planning.plan(arguments.config, env, _flags(arguments))


def attempt(arguments: argparse.Namespace, env: Mapping[str, str]) -> Attempt:
    """Return what is good of the configuration, with the mistakes in it; asks for no key."""
    return loading.attempt(arguments.config, env, _flags(arguments))


def _flags(arguments: argparse.Namespace) -> dict[str, str]:
    flags = {
        field: value
        for flag, field in _FLAGS.items()
        if (value := getattr(arguments, flag)) is not None
    }
    for assignment in arguments.set:
        field, _, value = assignment.partition("=")
        flags[field] = value
    return flags
