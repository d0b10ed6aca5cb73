"""Encryption at rest: AES-256-GCM with keys from a file that may be rotated.

The file holds one key or two, 32 bytes each in base64 or hexadecimal, one a line.
The first encrypts, both decrypt: to rotate, put the new key above the old one,
and drop the old one when the entries that it wrote have expired.
The file is read again when it changes; while its content is no key, the keys of before hold.

A nonce is 96 random bits: safe for 2³² entries a key, far more than a cache writes in its life.
The record's key and header are authenticated with it, so no entry can pass for another.
"""

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_MAX_KEYS: Final = 2
_MAX_FILE_BYTES: Final = 4096
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


class Unreadable(Exception):
    """A record is encrypted with a key that isn't ours."""


class BadKeyFile(Exception):
    """A key file can't be used: the text says which and why, and shows nothing of it."""


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    """The ciphers by key id, the one that encrypts first."""

    first: bytes
    by_id: "dict[bytes, AESGCM]"


class Cipher:
    """Seals and opens payloads. Shared by the event loop, which opens, and the writing thread."""

    def __init__(self, path: Path) -> None:
        """Read the keys; raises `BadKeyFile`."""
        self._path = path
        self._stamp = _stamp(path)
        self._keys = _read(path)

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell the key that encrypts from others, and nothing about it."""
        return self._keys.first

    def refresh(self) -> None:
        """Read the file again if it has changed; raises `BadKeyFile`, and keeps the old keys."""
        if (stamp := _stamp(self._path)) != self._stamp:
            self._stamp = stamp
            self._keys = _read(self._path)

    def seal(self, payload: bytes, about: bytes) -> bytes:
        """Return nonce and ciphertext; `about` is authenticated too, but not part of it."""
        keys = self._keys
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + keys.by_id[keys.first].encrypt(nonce, payload, about)

    def open(self, sealed: bytes | memoryview, about: bytes, key_id: bytes) -> bytes:
        """Return the payload; raises `Unreadable` for another's key, or if anything was changed."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # see `_read`

        cipher = self._keys.by_id.get(key_id)
        if cipher is None:
            raise Unreadable("encrypted with a key that isn't in the key file")
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
        except (InvalidTag, ValueError):
            raise Unreadable("the key doesn't open it") from None

    def __repr__(self) -> str:
        return f"<Cipher, keys from {self._path}: {len(self._keys.by_id)}>"


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise BadKeyFile(f"the key file {path} can't be read: {error.strerror}") from None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(path: Path) -> _Keys:
    # Imported by whoever asks for encryption: it takes 0.3 s and 9 MB.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    origin = f"the key file {path}"
    if not path.is_file():
        raise BadKeyFile(f"{origin} is no regular file")
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadKeyFile(f"{origin} can't be read: {error.strerror}") from None
    lines = text.split()
    if not lines:
        raise BadKeyFile(f"{origin} is empty")
    if len(lines) > _MAX_KEYS:
        raise BadKeyFile(f"{origin} holds more than two keys")
    keys = [_decoded(line, f"{origin}, key {number}") for number, line in enumerate(lines, 1)]
    ids = [hashlib.blake2b(key, digest_size=4, person=b"sidecard key id").digest() for key in keys]
    return _Keys(ids[0], {i: AESGCM(key) for i, key in zip(ids, keys, strict=True)})


def _decoded(line: bytes, origin: str) -> bytes:
    if len(line) == 2 * _KEY_BYTES:
        try:
            return binascii.unhexlify(line)
        except binascii.Error:
            raise BadKeyFile(f"{origin}: not hexadecimal") from None
    try:
        key = base64.b64decode(line.translate(_URL_SAFE).rstrip(b"=") + b"=", validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise BadKeyFile(f"{origin}: not 32 bytes in base64 or hexadecimal")
    return key
