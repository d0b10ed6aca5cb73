"""The ledger's file: what was spent, what is open, and what was used by the hour.

    spent    account and start of a slot → what was spent in it
    open     number of an attempt → what it may cost, and what it counts as in `usage` if it stays
    left     moment and number → what was open when its process died: it is in `spent` and `usage`
    usage    hour, tenant, route and model → what was used
    about    the format

A batch is one transaction. So whoever opens the file finds each attempt in `open`,
with what it may cost at most, or in `spent` with what it did cost, and never in neither.
"""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecard.core.ledger import Balance, Holding, LeftOpen, Sums, Used
from sidecard.store.environment import Environment
from sidecard.store.ledger_desk import Batch
from sidecard.store.ledger_records import balance_of, holding_of, packed, spent_key, used_of
from sidecard.store.trees import Foreign

if TYPE_CHECKING:
    import lmdb

FORMAT: Final = b"ledger 1"
MAP_BYTES: Final = 1 << 30
MOST_ROWS: Final = 500_000
_ROUND: Final = 2_000
_NUMBER: Final = struct.Struct(">Q")
_HOUR: Final = struct.Struct(">I")
_LEFT: Final = struct.Struct(">QQ")


class LedgerFile(Environment):
    """For the thread that writes."""

    def __init__(self, folder: Path, map_bytes: int = MAP_BYTES) -> None:
        """Open or create; raises `lmdb.Error`, `OSError` or `Foreign`."""
        super().__init__(folder, map_bytes=map_bytes)
        try:
            self._check()
            self._spent = self.env.open_db(b"spent")
            self._open = self.env.open_db(b"open")
            self._left = self.env.open_db(b"left")
            self._usage = self.env.open_db(b"usage")
            self.measure()
        except BaseException:
            self.close()
            raise
        self._swept = b""

    def take_over(self, wall: float) -> "tuple[list[Balance], int]":
        """Count as spent what a process left open; return all that is spent, and how many it left.

        It is kept aside as long as it counts in any account, for whoever knows what it cost.
        Raises `lmdb.Error`, `Cut` or `Foreign`.
        """
        spent: dict[bytes, Balance] = {}
        with self._writing() as txn:
            for key, data in _all(txn, self._spent):
                balance = balance_of(data)
                if balance.until > wall:
                    spent[key] = balance
            left = [holding_of(data) for _, data in _all(txn, self._open)]
            for holding in left:
                for amount in holding.amounts:
                    key = spent_key(amount)
                    before = spent[key].spent if key in spent else 0
                    spent[key] = amount._replace(spent=before + amount.spent)
                    txn.put(key, packed(spent[key]), db=self._spent)
                self._count(txn, int(wall) // 3600, holding.used)
                aside = _LEFT.pack(int(wall * 1000), holding.number)
                txn.put(aside, packed(holding), db=self._left)
            txn.drop(self._open, delete=False)
            for key, data in list(_all(txn, self._left)):
                if all(amount.until <= wall for amount in holding_of(data).amounts):
                    txn.delete(key, db=self._left)
        return list(spent.values()), len(left)

    def left_open(self) -> LeftOpen:
        """Return how much was left open, and is kept aside; raises `lmdb.Error` or `Cut`."""
        with self.begin() as txn:
            left = [holding_of(data) for _, data in _all(txn, self._left)]
        return LeftOpen(len(left), sum([holding.used.nano_usd for holding in left]))

    def release_left(self) -> list[Holding]:
        """Return what is kept aside, and have it neither there nor in `usage` any more.

        What it is in `spent` is for those to say who know the accounts.
        """
        with self._writing() as txn:
            left = [(_LEFT.unpack(key)[0], holding_of(d)) for key, d in _all(txn, self._left)]
            for moment, holding in left:
                used = holding.used
                unused = Used(*used.whose, *[-count for count in used.counts])
                self._count(txn, moment // 3_600_000, unused)
            txn.drop(self._left, delete=False)
        return [holding for _, holding in left]

    def commit(self, batch: Batch) -> None:
        """Keep a batch, all of it or nothing; raises `lmdb.Error` or `Cut`."""
        with self._writing() as txn:
            if batch.anew:
                txn.drop(self._open, delete=False)
                txn.drop(self._spent, delete=False)
            for number in batch.closed:
                txn.delete(_NUMBER.pack(number), db=self._open)
            for number, holding in batch.opened.items():
                txn.put(_NUMBER.pack(number), packed(holding), db=self._open)
            for balance in batch.balances.values():
                txn.put(spent_key(balance), packed(balance), db=self._spent)
            for key, used in batch.used.items():
                self._count(txn, key.hour, used)

    def usage(self, since: float, sums: Sums, after: bytes = b"") -> bytes:
        """Sum up some of what was used since the hour of a moment, and return where to go on.

        That is the next call's `after`, b"" at the end. Raises `lmdb.Error` or `Foreign`.
        """
        begin = after or _HOUR.pack(max(0, min(int(since) // 3600, 2**32 - 1)))
        with self.begin() as txn, txn.cursor(self._usage) as cursor:
            rows = list(islice(_from(cursor, begin), _ROUND))
        for _, data in rows:
            sums.add(used_of(data))
        return rows[-1][0] + b"\0" if len(rows) == _ROUND else b""

    def tidy(self, wall: float, keep_s: float, most_rows: int = MOST_ROWS) -> None:
        """Remove some of what nobody asks for any more; raises `lmdb.Error` or `Cut`."""
        oldest = _HOUR.pack(max(0, int(wall - keep_s) // 3600))
        with self._writing() as txn:
            with txn.cursor(self._spent) as cursor:
                some = list(islice(_from(cursor, self._swept), _ROUND))
            self._swept = some[-1][0] + b"\0" if len(some) == _ROUND else b""
            for key, data in some:
                if balance_of(data).until <= wall:
                    txn.delete(key, db=self._spent)
            surplus = txn.stat(self._usage)["entries"] - most_rows
            with txn.cursor(self._usage) as cursor:
                rows = [key for key, _ in islice(_from(cursor, b""), _ROUND)]
            for number, key in enumerate(rows):
                if number < surplus or key < oldest:
                    txn.delete(key, db=self._usage)

    def _check(self) -> None:
        about = self.env.open_db(b"about")
        with self.env.begin(about, write=True) as txn:
            txn.put(b"format", FORMAT, overwrite=False)
            found = txn.get(b"format")
        if found != FORMAT:
            raise Foreign(f"its format is {found!r}, this version's {FORMAT!r}")

    @contextmanager
    def _writing(self) -> "Iterator[lmdb.Transaction[bytes]]":
        with self.begin(write=True) as txn:
            yield txn
        self.measure()

    def _count(self, txn: "lmdb.Transaction[bytes]", hour: int, used: Used) -> None:
        """Add to an hour's use, or take from it, where that is still kept."""
        names = json.dumps(used.whose).encode()
        row = _HOUR.pack(hour) + blake2b(names, digest_size=16).digest()
        before = txn.get(row, db=self._usage)
        if before is not None:
            used = used_of(before).plus(used)
        if used.calls > 0:
            txn.put(row, packed(used), db=self._usage)
        elif before is not None:
            txn.delete(row, db=self._usage)


def _all(txn: "lmdb.Transaction[bytes]", tree: "lmdb._Database") -> Iterator[tuple[bytes, bytes]]:
    with txn.cursor(tree) as cursor:
        yield from cursor.iternext() if cursor.first() else ()


def _from(cursor: "lmdb.Cursor[bytes]", start: bytes) -> Iterator[tuple[bytes, bytes]]:
    if cursor.set_range(start) if start else cursor.first():
        yield from cursor.iternext()
