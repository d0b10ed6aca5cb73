"""What commands that call a daemon share: the flags for one that encrypts."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecard_client import Tls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; $SIDECARD_TLS_CA and the like say what they don't."""
    group = parser.add_argument_group(
        "a daemon with listen.tls", "each by default as $SIDECARD_TLS_CA, _CERT, _KEY and _NAME say"
    )
    group.add_argument("--tls-ca", metavar="FILE", help="the issuers that are believed, in PEM")
    group.add_argument("--tls-cert", metavar="FILE", help="the caller's own certificate, for mTLS")
    group.add_argument("--tls-key", metavar="FILE", help="the key of --tls-cert")
    group.add_argument(
        "--tls-name", metavar="NAME", help="the name in the daemon's certificate, if not the host"
    )


def tls(arguments: argparse.Namespace) -> "Tls | None":
    """Return what the flags say, None where they say nothing; raises ValueError for half a pair."""
    from sidecard_client import Tls  # noqa: PLC0415  # gRPC takes time

    given = (arguments.tls_ca, arguments.tls_cert, arguments.tls_key, arguments.tls_name)
    return Tls(*given) if any(given) else None
