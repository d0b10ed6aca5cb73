"""How a client makes sure that it speaks to the daemon, and nobody listens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import grpc

from sidecard_client.options import OPTIONS

_VARIABLE: Final = "SIDECARD_TLS_"
_FIELDS: Final = {"ca": "ca_file", "cert": "cert_file", "key": "key_file", "name": "server_name"}

Secured: TypeAlias = tuple[grpc.ChannelCredentials, Sequence[tuple[str, int | str]]]
"""What a secure channel takes: credentials, and options."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Encrypts the connection. The files are in PEM, and are read at the first call.

    `ca_file`: the issuers of whom one has to have signed the daemon's certificate; None for those
    that gRPC knows.
    `cert_file` and `key_file`: the client's own, for a daemon that wants to see one (mTLS).
    `server_name`: the name in the daemon's certificate, where it isn't the host of the address.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for half of a pair."""
        if (self.cert_file is None) is not (self.key_file is None):
            raise ValueError("a client's certificate needs cert_file and key_file, both")


def from_environment(env: Mapping[str, str]) -> Tls | None:
    """Return what $SIDECARD_TLS_CA, _CERT, _KEY and _NAME say; None where none is set."""
    found = {field: env.get(_VARIABLE + name.upper()) for name, field in _FIELDS.items()}
    given = {field: value for field, value in found.items() if value}
    return Tls(**given) if given else None


def secured(tls: Tls) -> Secured:
    """Return what a secure channel takes; raises ValueError for a file that can't be read."""
    credentials = grpc.ssl_channel_credentials(
        _read(tls.ca_file), _read(tls.key_file), _read(tls.cert_file)
    )
    options: list[tuple[str, int | str]] = list(OPTIONS)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return credentials, options


def _read(path: str | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"can't read {path}: {error.strerror}") from None
