"""How entries leave a shelf."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecard.core.store import Purge
from sidecard.store import space
from sidecard.store.shelf import Shelf
from sidecard.store.trees import info_of
from sidecard.store.write import Counts, Writer
from tests.store.conformance import NOW, a_key, an_entry

MAP_BYTES = 8 << 20


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """An open shelf of 8 MiB."""
    shelf = Shelf(tmp_path, map_bytes=MAP_BYTES)
    yield shelf
    shelf.close()


def put(shelf: Shelf, key: bytes, *, used: float = NOW, ends: float = NOW + 3600) -> None:
    shelf.write([(key, an_entry(expires_at=ends), os.urandom(700))], used)


def test_the_expired_go_first(shelf: Shelf) -> None:
    """An entry that expired goes before one that was used longer ago, the oldest first."""
    ends = {a_key(): NOW - 1_000 + 10 * n for n in range(200)}
    for key, at in ends.items():
        put(shelf, key, ends=at)
    old = [a_key() for _ in range(50)]
    for key in old:
        put(shelf, key, used=NOW - 100_000)
    expired, evicted = space.make_room(shelf, 0, shelf.used * 9 // 10, NOW)
    assert evicted == 0
    assert 20 < expired < 100
    assert all(shelf.read(key) for key in old)
    gone = [at for key, at in ends.items() if shelf.read(key) is None]
    assert gone == sorted(ends.values())[:expired]


def test_what_was_used_longest_ago_goes_next(shelf: Shelf) -> None:
    """When a fifth goes, it is the oldest, nearly as from a list in order of use."""
    keys = [a_key() for _ in range(2_000)]
    for minute in range(20):
        batch = keys[minute * 100 : minute * 100 + 100]
        records = [(key, an_entry(), os.urandom(700)) for key in batch]
        shelf.write(records, NOW + minute * 60)
    expired, evicted = space.make_room(shelf, 0, shelf.used * 5 // 6, NOW)
    assert expired == 0
    assert evicted > 350
    gone = [number for number, key in enumerate(keys) if shelf.read(key) is None]
    assert len(gone) == evicted
    assert sum(number > 1_000 for number in gone) < evicted * 0.05
    assert sum(number < 500 for number in gone) > evicted * 0.65


def test_a_use_that_is_noted_counts(shelf: Shelf) -> None:
    """A touched entry is as good as new; one that has gone is not brought back."""
    kept, gone = a_key(), a_key()
    put(shelf, kept)
    shelf.touch({kept: 7, gone: 7})
    with shelf.begin() as txn:
        data = txn.get(kept, db=shelf.trees.info)
        assert data is not None
        info = info_of(kept, data)
        assert info is not None
        assert info.minute == 7
    assert shelf.entries == 1


def test_a_leftover_removes_nothing(shelf: Shelf) -> None:
    """A moment of expiry that an entry had before costs the one of now nothing."""
    key = a_key()
    put(shelf, key, ends=NOW + 50)
    with shelf.begin(write=True) as txn:
        txn.put((1_000).to_bytes(8, "big") + key, b"", db=shelf.trees.expiry)
    assert space.drop_expired(shelf, NOW) == 0
    assert shelf.read(key) is not None
    assert space.drop_expired(shelf, NOW + 51) == 1
    assert shelf.used == shelf.entries == 0


def test_an_entry_that_is_replaced_counts_once(shelf: Shelf) -> None:
    """Nothing of the one before is left: not in what is used, nor in what is to expire."""
    key = a_key()
    put(shelf, key)
    once = shelf.used
    put(shelf, key, ends=NOW + 7_200)
    assert (shelf.entries, shelf.used) == (1, once)
    with shelf.begin() as txn:
        assert txn.stat(shelf.trees.expiry)["entries"] == 1


def test_an_empty_shelf_makes_no_room(shelf: Shelf) -> None:
    """Where nothing is left to remove, it ends."""
    assert space.make_room(shelf, 100, 0, NOW) == (0, 0)
    assert space.purge(shelf, Purge(tenant="acme")) == 0


def test_many_are_removed_from_a_full_map(tmp_path: Path) -> None:
    """However many are to go at once, it takes no more of the map than a round, and no other."""
    shelf, counts = Shelf(tmp_path, map_bytes=4 << 20), Counts()
    while not counts.evicted:
        records = [(a_key(), an_entry(), os.urandom(100)) for _ in range(200)]
        Writer(4 << 20, counts).write(shelf, records, NOW)
    with shelf.begin() as txn, txn.cursor(shelf.trees.info) as cursor:
        keys = list(cursor.iternext(values=False))
    assert shelf.remove(keys[::2]) == len(keys[::2]) > 2_000
    assert all(shelf.read(key) for key in keys[1::2])
    shelf.close()


def test_values_of_all_sizes_come_and_go(shelf: Shelf) -> None:
    """Gaps between large values don't fill the map: each finds its place."""
    counts = Counts()
    writer = Writer(MAP_BYTES, counts)
    for number in range(400):
        size = (number * 104_729) % 300_000
        writer.write(shelf, [(a_key(), an_entry(), os.urandom(size))], NOW)
    assert counts.written == 400
    assert shelf.entries > 25


@pytest.mark.parametrize("size", [10, 300, 1_100, 1_990, 2_100])
def test_small_values_come_and_go(shelf: Shelf, size: int) -> None:
    """Pages that are filled badly don't fill the map, however often entries come and go."""
    counts = Counts()
    writer = Writer(MAP_BYTES, counts)
    for _ in range(30):
        records = [(a_key(), an_entry(), os.urandom(size)) for _ in range(400)]
        writer.write(shelf, records, NOW)
    assert counts.written == 12_000
    assert shelf.entries > 1_000


def test_trees_of_another_index_fit(shelf: Shelf) -> None:
    """An index of its own can be added later, and the file stays in order."""
    other = shelf.trees.env.open_db(b"vectors")
    key = a_key()
    put(shelf, key)
    with shelf.begin(write=True) as txn:
        txn.put(b"an embedding", key, db=other)
    assert space.drop_expired(shelf, NOW + 9_999) == 1
