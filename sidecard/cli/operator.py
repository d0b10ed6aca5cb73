"""What commands share that give orders: whose token they carry, and how a refusal is told."""

import argparse
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecard.cli import configured, secured, show
from sidecard.config.kinds import split_address
from sidecard.config.load import Attempt
from sidecard.config.problems import dotted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecard_client.operator import Operator

_PLACES: Final = (("listen", "admin_token_file"), ("data_dir",))
"""The fields that say where the token is. No order needs more of a configuration to be good."""
_ELSEWHERE: Final = (
    "; a daemon that was started with another data_dir has its token there: give --token-file"
)
_ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # asked, not listened on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the daemon is, and the token; the configuration may say the latter."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the operator's token (default: where the configuration says the daemon has it)",
    )
    configured.add_arguments(parser)
    parser.add_argument(
        "--address",
        help="the daemon's gRPC (default: $SIDECARD_ADDRESS, else listen.grpc as configured)",
    )
    secured.add_arguments(parser)


def order(arguments: argparse.Namespace, give: "Callable[[Operator], list[str]]") -> int:
    """Give an order and print what came of it, or say why nothing did.

    Return 0, 1 when the daemon refused, 2 without a token or for an order that can't be.
    """
    tried = configured.attempt(arguments, os.environ)
    try:
        token = _token(arguments.token_file, tried)
    except _NoToken as error:
        return show.complain(arguments, str(error), 2)
    if arguments.address is None and not os.environ.get("SIDECARD_ADDRESS"):
        arguments.address = _address(tried)
    return _ordered(arguments, token, give)


class _NoToken(Exception):
    """There is no token to carry; `str()` says why, and what to do."""


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


def _token(file: Path | None, tried: Attempt) -> str:
    """Return the token in a file, else in the configuration's; raises `_NoToken`."""
    kept = False
    if file is None:
        file, kept = _token_file(tried)
    try:
        token = file.read_text("ascii").strip()
    except OSError as error:
        gone = kept and error.errno == errno.ENOENT
        told = f"can't read the token in {file}: {error.strerror}"
        raise _NoToken(told + (_ELSEWHERE if gone else "")) from None
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isprintable():
        raise _NoToken(f"{file} holds no token: expected one line of visible characters")
    return token


def _token_file(tried: Attempt) -> tuple[Path, bool]:
    """Return where the configuration says that the token is, and whether that is in data_dir.

    Raises `_NoToken` where it says nothing, or nothing that can be read.
    """
    config, knows = tried.loaded.config, tried.checked.knows
    if config.listen.admin_token_file is not None:
        return Path(config.listen.admin_token_file), False
    if not knows(_PLACES):
        starts = {dotted(path[:end]) for path in _PLACES for end in range(len(path) + 1)}
        about = (problem for problem in tried.problems if problem.path in starts)
        why = next(about, tried.problems[0])
        raise _NoToken(f"no token: {why}; mend that, or give --token-file")
    if config.data_dir is None:
        raise _NoToken(
            "no token: give --token-file, or --config with listen.admin_token_file or data_dir"
        )
    return Path(config.data_dir) / "admin-token", True


def _address(tried: Attempt) -> str | None:
    """Return where the configuration has the daemon listen, None where it doesn't say."""
    address = tried.loaded.config.listen.grpc
    if "listen.grpc" not in tried.loaded.given or not tried.checked.knows([("listen", "grpc")]):
        return None
    split = split_address(address)
    if address.startswith("unix:") or split is None:
        return address
    host, port = split
    if port == 0:
        return None
    return f"{_ANY_HOST[host]}:{port}" if host in _ANY_HOST else address
