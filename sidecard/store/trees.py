"""The three trees that entries lie in, and what keeps them in step.

    blobs    key → the record, as `codec.py` packs it
    info     key → size, minute of last use, moments of creation and expiry, tenant, route (hashed)
    expiry   moment of expiry, key → nothing
    about    the format, what the entries take in all, and the secret of `sealing.py`

`info` is small and dense, so that what looks at many entries, eviction and purge, reads few pages.
Another index, from embeddings to keys, fits beside them as a tree of its own:
whoever follows it to an entry that has gone removes it, as nothing here knows about it.

Each function works inside a transaction, so an entry is in all three trees or in none.
"""

import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Final

import lmdb

from sidecard.core.store import Entry
from sidecard.store.names import Names

MAX_TREES: Final = 8
FORMAT: Final = b"1"

# size, minute of last use, created and expires (ms), tenant, route: then the checksum with the key.
_INFO: Final = struct.Struct(">IIQQ8s8s")
_CHECK: Final = struct.Struct(">I")
_MOMENT: Final = struct.Struct(">Q")
_MAX_S: Final = 2**32 - 1

_INSIDE_BYTES: Final = 2000
_BESIDE_BYTES: Final = 200
_FILL: Final = 0.45
_USED: Final = b"used"
_SECRET: Final = b"secret"


def cost(record_bytes: int, page_bytes: int) -> int:
    """Return what an entry takes in the file, in bytes, on the safe side.

    A record of more than 2000 bytes has pages of its own. All else lies in pages that are shared:
    measured, those are filled to 0.45 at least, however often entries come and go.
    """
    inside, outside = record_bytes, 0
    if record_bytes > _INSIDE_BYTES:
        inside, outside = 0, -(-(record_bytes + 16) // page_bytes) * page_bytes
    return int((inside + _BESIDE_BYTES) / _FILL) + outside


class Foreign(Exception):
    """The file is in order, but isn't in this version's format."""


@dataclass(frozen=True, slots=True)
class Info:
    """What is known of an entry without reading it; the hashes are those of `Names.tag`."""

    record_bytes: int
    minute: int
    created_ms: int
    expires_ms: int
    tenant: bytes
    route: bytes

    def packed(self, key: bytes) -> bytes:
        """Return the bytes to be kept under `key`."""
        data = _INFO.pack(
            self.record_bytes,
            self.minute,
            self.created_ms,
            self.expires_ms,
            self.tenant,
            self.route,
        )
        return data + _CHECK.pack(zlib.crc32(data, zlib.crc32(key)))


class Trees:
    """The trees of an open environment; `used` is what the entries take, by `cost`.

    `names` are what tenants and routes are called here; keys are given as they are called already.
    `sealed` is their secret as it lies in the file, None where there is none.
    """

    def __init__(self, env: lmdb.Environment) -> None:
        """Find or make them; raises `lmdb.Error` or `Foreign`."""
        self.env = env
        self._about = env.open_db(b"about")
        with env.begin(self._about, write=True) as txn:
            txn.put(b"format", FORMAT, overwrite=False)
            if (found := txn.get(b"format")) != FORMAT:
                raise Foreign(f"its format is {found!r}, this version's {FORMAT!r}")
            self.used = int(txn.get(_USED, b"0"))
            self.sealed = txn.get(_SECRET)
        self.names = Names()
        self.blobs = env.open_db(b"blobs")
        self.info = env.open_db(b"info")
        self.expiry = env.open_db(b"expiry")
        self.page_bytes = env.stat()["psize"]

    def note_used(self, txn: "lmdb.Transaction[bytes]") -> None:
        """Take down `used`, before a commit."""
        txn.put(_USED, b"%d" % self.used, db=self._about)

    def note_sealed(self, txn: "lmdb.Transaction[bytes]", sealed: bytes) -> None:
        """Take down the secret of the names, sealed."""
        txn.put(_SECRET, sealed, db=self._about)

    def put(
        self, txn: "lmdb.Transaction[bytes]", key: bytes, record: bytes, entry: Entry, minute: int
    ) -> None:
        """Keep the record under its key, instead of any other."""
        self.remove(txn, key)
        tenant, route = self.names.tag(entry.tenant), self.names.tag(entry.route)
        created, expires = milliseconds(entry.created_at), milliseconds(entry.expires_at)
        info = Info(len(record), minute, created, expires, tenant, route)
        txn.put(key, record, db=self.blobs)
        self.used += cost(len(record), self.page_bytes)
        txn.put(key, info.packed(key), db=self.info)
        txn.put(expiry_key(info.expires_ms, key), b"", db=self.expiry)

    def remove(self, txn: "lmdb.Transaction[bytes]", key: bytes) -> bool:
        """Remove the entry under the key; return whether there was one."""
        data = txn.pop(key, db=self.info)
        if data is None:
            return False
        info = info_of(key, data)
        if info is not None:
            size = info.record_bytes
            txn.delete(expiry_key(info.expires_ms, key), db=self.expiry)
        else:
            size = len(txn.get(key, b"", db=self.blobs))
        if txn.delete(key, db=self.blobs):
            self.used -= cost(size, self.page_bytes)
        return True

    def remove_due(self, txn: "lmdb.Transaction[bytes]", due: bytes) -> bool:
        """Remove what a key of `expiry` speaks of; return whether there was such an entry."""
        key, data = due[_MOMENT.size :], None
        txn.delete(due, db=self.expiry)
        data = txn.get(key, db=self.info)
        info = None if data is None else info_of(key, data)
        if info is not None and expiry_key(info.expires_ms, key) != due:
            return False  # A leftover of an entry whose info was damaged: another has its key now.
        return self.remove(txn, key)

    def touch(self, txn: "lmdb.Transaction[bytes]", key: bytes, minute: int) -> None:
        """Take down that the entry was used in that minute of the wall clock."""
        data = txn.get(key, db=self.info)
        info = None if data is None else info_of(key, data)
        if info is not None and info.minute != minute:
            txn.put(key, replace(info, minute=minute).packed(key), db=self.info)


def info_of(key: bytes, data: bytes) -> Info | None:
    """Return what was packed; None when it is damaged."""
    if len(data) != _INFO.size + _CHECK.size:
        return None
    if _CHECK.unpack_from(data, _INFO.size)[0] != zlib.crc32(data[: _INFO.size], zlib.crc32(key)):
        return None
    return Info(*_INFO.unpack_from(data))


def minute_of(wall: float) -> int:
    """Return the minute of the wall clock, the grain in which last use is known."""
    return milliseconds(wall) // 60_000


def before(wall: float) -> bytes:
    """Return the key of `expiry` that everything before the moment sorts before."""
    return _MOMENT.pack(milliseconds(wall))


def expiry_key(expires_ms: int, key: bytes) -> bytes:
    """Return an entry's key in `expiry`."""
    return _MOMENT.pack(expires_ms) + key


def milliseconds(wall: float) -> int:
    """Return a moment in whole milliseconds, as it is kept; odd ones as the nearest that can be."""
    if math.isnan(wall):
        return 0
    return int(min(max(wall, 0.0), _MAX_S) * 1000)
