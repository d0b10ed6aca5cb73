"""The daemon's certificate for TLS, and whose callers' it takes, from files that are rotated.

gRPC asks at each handshake, so that what is new in the files holds from the next connection on.
What isn't whole, doesn't fit together or is over is said loudly, and what was before holds.
"""

import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509

from sidecard.server.bad_files import BadCertificates

_MAX_BYTES: Final = 262_144

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Files:
    """Where they are; without `client_ca` callers need no certificate."""

    cert: Path
    key: Path
    client_ca: Path | None = None


class Certificates:
    """What was read last, and what it was read from."""

    def __init__(self, files: Files) -> None:
        """Read the files; raises `BadCertificates`."""
        self._files = files
        self._stamp = self._looked()
        self._current = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server listens with."""
        return grpc.dynamic_ssl_server_credentials(
            self._current,
            self._fetch,  # type: ignore[arg-type]  # None for nothing new: its documentation
            require_client_authentication=self._files.client_ca is not None,
        )

    def _fetch(self) -> "grpc.ServerCertificateConfiguration | None":
        """Return what is new, None for nothing. In a thread of gRPC's."""
        stamp = self._looked()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            self._current = self._read()
        except BadCertificates as error:
            _log.error("the certificates stay as they were", extra={"why": str(error)})
            return None
        _log.info("the certificates were read anew")
        return self._current

    def _looked(self) -> tuple[object, ...]:
        stamps: list[object] = []
        for path in (self._files.cert, self._files.key, self._files.client_ca):
            if path is not None:
                try:
                    found = path.stat()
                except OSError:
                    return ()
                stamps += (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return tuple(stamps)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        files = self._files
        cert, key = _content(files.cert, "cert_file"), _content(files.key, "key_file")
        ca = None if files.client_ca is None else _content(files.client_ca, "client_ca_file")
        try:
            first = x509.load_pem_x509_certificates(cert)[0]
        except ValueError:
            raise _bad("cert_file", files.cert, "has no certificate in PEM form") from None
        if first.not_valid_after_utc < datetime.now(UTC):
            raise _bad("cert_file", files.cert, f"ended on {first.not_valid_after_utc:%Y-%m-%d}")
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files.cert, files.key, _no_password)
        except (ssl.SSLError, OSError):
            told = "has no key in PEM form, without a password, that fits the certificate"
            raise _bad("key_file", files.key, told) from None
        if ca is not None and files.client_ca is not None:
            try:
                x509.load_pem_x509_certificates(ca)
            except ValueError:
                told = "has no certificate in PEM form"
                raise _bad("client_ca_file", files.client_ca, told) from None
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=ca)

    def __repr__(self) -> str:
        return f"<Certificates of {self._files.cert}>"


def _no_password() -> str:
    """Give none, where OpenSSL would ask a terminal for one."""
    return ""


def _content(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise _bad(name, path, f"can't be read: {error.strerror}") from None


def _bad(name: str, path: Path, why: str) -> BadCertificates:
    return BadCertificates(f"listen.tls.{name} {path} {why}")
