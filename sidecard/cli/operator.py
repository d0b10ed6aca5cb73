"""What commands share that give orders: whose token they carry, and how a refusal is told."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sidecard.cli import configured, secured, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecard_client.operator import Operator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the daemon is, and the token; the configuration may say the latter."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the operator's token (default: where the configuration says the daemon has it)",
    )
    configured.add_arguments(parser)
    parser.add_argument("--address", help="the daemon's gRPC (default: as sidecard call)")
    secured.add_arguments(parser)


def order(arguments: argparse.Namespace, give: "Callable[[Operator], list[str]]") -> int:
    """Give an order and print what came of it, or say why nothing did.

    Return 0, 1 when the daemon refused, 2 without a token or for an order that can't be.
    """
    file = arguments.token_file or _token_file(arguments)
    if file is None:
        told = "no token: give --token-file, or --config with listen.admin_token_file or data_dir"
        return show.complain(arguments, told, 2)
    try:
        token = file.read_text().strip()
    except OSError as error:
        return show.complain(arguments, f"can't read the token in {file}: {error.strerror}", 2)
    return _ordered(arguments, token, give)


def _ordered(
    arguments: argparse.Namespace, token: str, give: "Callable[[Operator], list[str]]"
) -> int:
    from sidecard_client import SidecardError  # noqa: PLC0415  # gRPC takes time
    from sidecard_client.operator import Operator  # noqa: PLC0415

    try:
        tls = secured.tls(arguments)
        with Operator(arguments.address, token=token, tls=tls) as operator:
            lines = give(operator)
    except SidecardError as error:
        told = str(error)
        if error.reason == "UNIMPLEMENTED":
            told = "the daemon takes no orders: it needs listen.admin_token_file or a data_dir"
        return show.complain(arguments, told, 1)
    except ValueError as error:
        return show.complain(arguments, str(error), 2)
    print("\n".join(lines))
    return 0


def _token_file(arguments: argparse.Namespace) -> Path | None:
    """Return where the configuration says that the token is."""
    found = configured.plan(arguments, os.environ)
    if found is None:
        return None
    config = found.loaded.config
    if config.listen.admin_token_file is not None:
        return Path(config.listen.admin_token_file)
    return None if config.data_dir is None else Path(config.data_dir) / "admin-token"
