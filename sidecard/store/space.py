"""How entries leave a shelf: when their time is over, to make room, or because they are purged.

To make room, those go first that expired longest ago, then those that were used longest ago.
The latter is approximate. Last use is known to the minute, and written back lazily.
And nobody keeps a list of all entries in order of use:
keys are hashes, so neighbours in `info` are a random sample;
of 64 in a row the 8 used longest ago go, and so on until there is room.
So an entry that goes is, nearly always, among the fifth that was used longest ago.

Each transaction removes `shelf.round` entries at most.
"""

import secrets
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from sidecard.core.store import KEY_BYTES, Purge
from sidecard.store.shelf import Shelf
from sidecard.store.trees import Info, before, info_of, milliseconds

if TYPE_CHECKING:
    import lmdb

SAMPLE: Final = 64
VICTIMS: Final = 8
_SLACK: Final = 0.95
_SCAN: Final = 20_000
_ALL_ROUNDS: Final = 1_000_000


def make_room(shelf: Shelf, for_bytes: int, budget: int, now_wall: float) -> tuple[int, int]:
    """Remove entries until `for_bytes` more fit into `budget`, with a little to spare.

    Returns how many went that had expired, and how many others; raises `lmdb.Error` or `Cut`.
    """
    if shelf.used + for_bytes <= budget:
        return 0, 0
    target = max(0, int(budget * _SLACK) - for_bytes)
    expired = drop_expired(shelf, now_wall, until_bytes=target)
    evicted = 0
    while shelf.used > target and shelf.entries:
        gone = _evict(shelf, target)
        evicted += gone
        if not gone:
            break
    return expired, evicted


def drop_expired(
    shelf: Shelf, before_wall: float, *, until_bytes: int = 0, rounds: int = _ALL_ROUNDS
) -> int:
    """Remove what expired before a moment, oldest first, until no more than `until_bytes` is used.

    A round is `shelf.round` entries. Returns how many went; raises `lmdb.Error` or `Cut`.
    """
    dropped = 0
    for _ in range(rounds):
        if shelf.used <= until_bytes:
            break
        trees = shelf.trees
        with shelf.begin() as txn:
            due = list(_due(shelf, txn, before(before_wall)))
        if not due:
            break
        with shelf.writing() as txn:
            for key in due:
                dropped += trees.remove_due(txn, key)
                if trees.used <= until_bytes:
                    break
    return dropped


def purge(shelf: Shelf, which: Purge) -> int:
    """Remove the entries that are meant; return how many. Raises `lmdb.Error` or `Cut`."""
    tag = shelf.trees.names.tag
    tenant = None if which.tenant is None else tag(which.tenant)
    route = None if which.route is None else tag(which.route)
    limit = None if which.created_before is None else milliseconds(which.created_before)

    def meant(info: Info | None) -> bool:
        if info is None:
            return True  # Nobody can tell any more whose it was.
        if tenant is not None and info.tenant != tenant:
            return False
        if route is not None and info.route != route:
            return False
        return limit is None or info.created_ms < limit

    removed, at = 0, b""
    while True:
        with shelf.begin() as txn:
            some = list(_neighbours(shelf, txn, at, _SCAN))
        if not some:
            return removed
        removed += shelf.remove([key for key, info in some if meant(info)])
        at = some[-1][0] + b"\0"


def _evict(shelf: Shelf, target: int) -> int:
    trees, gone = shelf.trees, 0
    with shelf.writing() as txn:
        while gone < shelf.round and trees.used > target:
            sample = list(_neighbours(shelf, txn, secrets.token_bytes(KEY_BYTES), SAMPLE))
            if len(sample) < SAMPLE:  # The random place was near the end.
                seen = {key for key, _ in sample}
                front = _neighbours(shelf, txn, b"", SAMPLE - len(sample))
                sample += [found for found in front if found[0] not in seen]
            sample.sort(key=lambda found: found[1].minute if found[1] else -1)
            before_round = gone
            for key, _ in sample[:VICTIMS]:
                gone += trees.remove(txn, key)
                if trees.used <= target:
                    break
            if gone == before_round:
                break
    return gone


def _neighbours(
    shelf: Shelf, txn: "lmdb.Transaction[bytes]", start: bytes, most: int
) -> Iterator[tuple[bytes, Info | None]]:
    with txn.cursor(shelf.trees.info) as cursor:
        if not (cursor.set_range(start) if start else cursor.first()):
            return
        for key, data in islice(cursor.iternext(), most):
            yield key, info_of(key, data)


def _due(shelf: Shelf, txn: "lmdb.Transaction[bytes]", end: bytes) -> Iterator[bytes]:
    with txn.cursor(shelf.trees.expiry) as cursor:
        if not cursor.first():
            return
        for key in islice(cursor.iternext(keys=True, values=False), shelf.round):
            if key >= end:
                return
            yield key
