"""The daemon's certificate as it is now: renewed without a restart, for gRPC and for HTTP.

Every handshake takes the files as they are then, looked at once a second at most. New ones that
are no good are said loudly, and those before them hold.
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import grpc

from sidecard.config.certificates import BadCertificates, Certificates, read
from sidecard.config.listen import Tls

LOOK_EVERY_S: Final = 1.0

_log: Final = logging.getLogger(__name__)


class ServerTls:
    """What encrypts. Safe to share between threads: gRPC asks from its own."""

    def __init__(self, tls: Tls, *, now: Callable[[], float] = time.monotonic) -> None:
        """Read the files; raises `BadCertificates`."""
        self._tls = tls
        self._now = now
        self._lock = threading.Lock()
        self._looked_at = now()
        self._stamp = self._looked()
        self._current = read(tls)
        self._context = self._new_context(self._current)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server listens with."""
        told = self.current()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal told
            if (found := self.current()) is told:
                return None  # As they were.
            told = found
            return _configuration(found)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(told),
            fetch,  # type: ignore[arg-type]  # grpc/__init__.py: None keeps what is there
            require_client_authentication=told.client_ca is not None,
        )

    def ssl_context(self) -> ssl.SSLContext:
        """Return what an HTTP server listens with."""
        outer = self._new_context(self.current())

        def renew(connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
            self.current()
            connection.context = self._context

        # Called for each handshake, whether the caller names a server or not.
        outer.sni_callback = renew
        return outer

    def current(self) -> Certificates:
        """Return the certificates, read again if the files have changed."""
        with self._lock:
            if self._now() - self._looked_at >= LOOK_EVERY_S:
                self._looked_at = self._now()
                self._look()
            return self._current

    def _look(self) -> None:
        stamp = self._looked()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            found = read(self._tls)
            self._context = self._new_context(found)
        except (BadCertificates, ssl.SSLError) as error:
            _log.error("the certificate stays as it was", extra={"why": f"listen.tls: {error}"})
        else:
            self._current = found
            _log.info("the certificate was read anew", extra={"expires": _day(found)})

    def _looked(self) -> list[tuple[int, int, int] | None]:
        files = (self._tls.cert_file, self._tls.key_file, self._tls.client_ca_file)
        return [None if path is None else _stamp(path) for path in files]

    def _new_context(self, found: Certificates) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A ticket would bring back a caller whose issuer isn't taken any more.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.load_cert_chain(self._tls.cert_file, self._tls.key_file)
        if found.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=found.client_ca.decode("ascii", "replace"))
        return context

    def __repr__(self) -> str:
        mutual = ", callers show theirs" if self._current.client_ca is not None else ""
        return f"<ServerTls of {self._tls.cert_file}, expires {_day(self._current)}{mutual}>"


def _configuration(found: Certificates) -> grpc.ServerCertificateConfiguration:
    pairs = [(found.key, found.chain)]
    return grpc.ssl_server_certificate_configuration(pairs, root_certificates=found.client_ca)


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _day(found: Certificates) -> str:
    return f"{found.expires:%Y-%m-%d}"
