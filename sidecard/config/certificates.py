"""The files of `listen.tls`: read, and found good or not before anybody connects.

What OpenSSL would say of them at a handshake, to a caller, is told to the operator, at the start.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from sidecard.config.listen import Tls

_MAX_BYTES: Final = 1_048_576
_NONE: Final = "has no certificate; expected `BEGIN CERTIFICATE` in PEM"


class BadCertificates(Exception):
    """A file can't be used: `field` of `listen.tls` names it, `str()` says why, and the fix."""

    def __init__(self, field: str, path: str, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the files have, as PEM, and when the certificate expires."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    expires: datetime


def read(tls: Tls) -> Certificates:
    """Return what the files have; raises `BadCertificates`."""
    chain, key = _content("cert_file", tls.cert_file), _content("key_file", tls.key_file)
    own = _certificates("cert_file", tls.cert_file, chain)[0]
    _valid_now("cert_file", tls.cert_file, own)
    if _public(own.public_key()) != _public(_key(tls, key)):
        why = f"is not the key of {tls.cert_file}; expected the one that it was issued for"
        raise BadCertificates("key_file", tls.key_file, why)
    client_ca = None
    if tls.client_ca_file is not None:
        where = ("client_ca_file", tls.client_ca_file)
        client_ca = _content(*where)
        for issuer in _certificates(*where, client_ca):
            _valid_now(*where, issuer)
    return Certificates(chain, key, client_ca, own.not_valid_after_utc)


def _content(name: str, path: str) -> bytes:
    try:
        # Not blocking, as to open a pipe would hang the daemon.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise BadCertificates(name, path, f"can't be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise BadCertificates(name, path, f"is larger than {_MAX_BYTES:,} bytes")
    return content


def _certificates(name: str, path: str, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise BadCertificates(name, path, _NONE) from None


def _valid_now(name: str, path: str, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        why = f"expired at {ends:%Y-%m-%d %H:%M} UTC; expected a renewed one"
        raise BadCertificates(name, path, why)
    if now < begins:
        why = f"is valid from {begins:%Y-%m-%d %H:%M} UTC only; expected one that is valid now"
        raise BadCertificates(name, path, why)


def _key(tls: Tls, content: bytes) -> PublicKeyTypes:
    """Return the public side of the key."""
    try:
        return load_pem_private_key(content, None).public_key()
    except TypeError:
        why = "is encrypted; expected a key without a passphrase"
    except (ValueError, UnsupportedAlgorithm):
        why = "has no private key; expected `BEGIN PRIVATE KEY` in PEM"
    raise BadCertificates("key_file", tls.key_file, why)


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
