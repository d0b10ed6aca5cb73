"""A data file that went bad on the disk: whatever page, the store starts, and never lies."""

import os
import random
import struct
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import lmdb
import pytest

from sidecard.core.store import Entry, Purge
from tests.store.conformance import NOW, a_key, an_entry, as_stored
from tests.store.disk import Disk, opened

PAGE = 4096
MAX_BYTES = 16 << 20
KINDS = {1: "branch", 2: "leaf", 4: "overflow", 8: "meta"}
TRIALS = 2


@pytest.fixture
async def sound(tmp_path: Path) -> tuple[bytes, dict[bytes, Entry]]:
    """A data file with pages of every kind, free ones too, and what is in it."""
    entries = {}
    async with opened(Disk(tmp_path / "sound", max_bytes=MAX_BYTES)) as disk:
        for number in range(700):
            key = a_key()
            size = (100, 900, 1_700, 9_000)[number % 4]
            entries[key] = an_entry(os.urandom(size), tenant=f"tenant {number % 7}")
            disk.store.put(key, entries[key])
            if number % 100 == 0:
                await disk.store.flush()
        await disk.store.purge(Purge(tenant="tenant 3"))
        data = disk.data
    left = {key: entry for key, entry in entries.items() if entry.tenant != "tenant 3"}
    return data.read_bytes(), left


def pages_of(data: bytes) -> Mapping[str, list[int]]:
    """Return the pages by kind; what follows an overflow page's first has no header."""
    newest = max((0, PAGE), key=lambda meta: struct.unpack_from("<Q", data, meta + 144)[0])
    found, at = defaultdict(list), 0
    found["list of free pages"] = [struct.unpack_from("<Q", data, newest + 80)[0]]
    while at < len(data) // PAGE:
        (kind,) = struct.unpack_from("<H", data, at * PAGE + 10)
        (more,) = struct.unpack_from("<I", data, at * PAGE + 12)
        found[KINDS.get(kind, "other")].append(at)
        at += more if kind == 4 and 0 < more < 100 else 1
    return found


def damaged(data: bytes, page: int, how: str, chance: random.Random) -> bytes:
    """Return the file with one page gone bad."""
    bad, at = bytearray(data), page * PAGE
    match how:
        case "bit":
            bad[at + chance.randrange(PAGE)] ^= 1 << chance.randrange(8)
        case "bit in the header":
            bad[at + chance.randrange(80)] ^= 1 << chance.randrange(8)
        case "sector":
            sector = at + 512 * chance.randrange(8)
            bad[sector : sector + 512] = bytes(512)
        case "zeros":
            bad[at : at + PAGE] = bytes(PAGE)
        case "another page":
            other = chance.randrange(len(data) // PAGE) * PAGE
            bad[at : at + PAGE] = data[other : other + PAGE]
        case _:
            bad[at : at + PAGE] = chance.randbytes(PAGE)
    return bytes(bad)


@pytest.mark.parametrize(
    "how", ["bit", "bit in the header", "sector", "zeros", "another page", "noise"]
)
@pytest.mark.parametrize("kind", ["meta", "branch", "leaf", "overflow", "list of free pages"])
async def test_a_bad_page_is_survived(
    tmp_path: Path, sound: tuple[bytes, dict[bytes, Entry]], kind: str, how: str
) -> None:
    """It starts, what it returns is whole and right, and it takes, evicts and purges as ever."""
    data, entries = sound
    chance = random.Random(f"{kind} {how}")  # noqa: S311
    found = pages_of(data)
    assert found[kind]
    for trial in range(TRIALS):
        folder = tmp_path / f"{trial}"
        folder.mkdir()
        bad = damaged(data, chance.choice(found[kind]), how, chance)
        (folder / "data.mdb").write_bytes(bad)
        async with opened(Disk(folder, max_bytes=MAX_BYTES)) as disk:
            for key, entry in entries.items():
                assert disk.store.get(key, NOW) in (None, as_stored(entry))
            key = a_key()
            disk.store.put(key, an_entry())
            for old in list(entries)[:50]:
                disk.store.put(old, an_entry(b"new"))
            await disk.store.flush()
            assert disk.store.get(key, NOW) == as_stored(an_entry())
            await disk.store.purge(Purge(tenant="tenant 1"))
            for old, entry in entries.items():
                if entry.tenant == "tenant 1":
                    got = disk.store.get(old, NOW)
                    assert got is None or got == as_stored(an_entry(b"new"))


async def test_a_flipped_value_costs_its_entry_alone(tmp_path: Path) -> None:
    """Its checksum tells: it is a miss, counted, and removed; its neighbours are found."""
    good, bad = a_key(), a_key()
    async with opened(Disk(tmp_path)) as disk:
        disk.store.put(good, an_entry(b"good" * 100))
        disk.store.put(bad, an_entry(b"evil" * 100))
    disk.data.write_bytes(disk.data.read_bytes().replace(b"evil", b"Evil"))
    async with opened(Disk(tmp_path)) as disk:
        assert disk.store.get(bad, NOW) is None
        assert disk.store.get(good, NOW) == as_stored(an_entry(b"good" * 100))
        assert disk.store.stats().damaged == 1
        await disk.store.flush()
        assert disk.store.stats().entries == 1
        assert disk.aside == []


async def test_a_key_that_changed_hides_from_no_purge(tmp_path: Path) -> None:
    """An answer whose tenant nobody knows any more can't be served: the file is set aside."""
    key = a_key()
    async with opened(Disk(tmp_path)) as disk:
        disk.store.put(key, an_entry(tenant="acme"))
    with lmdb.open(str(tmp_path), max_dbs=8, map_size=4 << 20) as env:
        info = env.open_db(b"info")
        with env.begin(info, write=True) as txn:
            data = txn.pop(key)
            assert data is not None
            txn.put(a_key(), data)
    async with opened(Disk(tmp_path)) as disk:
        assert len(disk.aside) == 1
        assert disk.store.get(key, NOW) is None


async def test_an_unknown_tenant_goes_with_any_purge(tmp_path: Path) -> None:
    """Where it can't be told whose an entry is, whoever purges removes it."""
    key = a_key()
    async with opened(Disk(tmp_path)) as disk:
        disk.store.put(key, an_entry(tenant="acme"))
    with lmdb.open(str(tmp_path), max_dbs=8, map_size=4 << 20) as env:
        info = env.open_db(b"info")
        with env.begin(info, write=True) as txn:
            data = txn.get(key)
            assert data is not None
            txn.put(key, data[:-1] + bytes([data[-1] ^ 1]))
    async with opened(Disk(tmp_path)) as disk:
        assert await disk.store.purge(Purge(tenant="globex")) == 1
        assert disk.store.get(key, NOW) is None
