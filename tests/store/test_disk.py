"""The store on disk, when nothing is wrong with the disk."""

import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sidecard.core.store import Purge, Store, StoreChecking, StoreOpened
from sidecard.store.disk import DiskStore
from sidecard.store.keeper import Pace
from sidecard.store.shelf import Shelf
from sidecard.store.trees import info_of, minute_of
from tests.store.conformance import (
    MAX_BYTES,
    NOW,
    StoreConformance,
    a_key,
    an_entry,
    as_stored,
)
from tests.store.disk import QUICK, Disk, opened


class TestDiskStore(StoreConformance):
    """It keeps every promise of the port."""

    @asynccontextmanager
    async def opened(self, folder: Path) -> AsyncIterator[Store]:
        async with opened(Disk(folder / "cache")) as disk:
            yield disk.store


async def test_entries_survive_a_restart(tmp_path: Path) -> None:
    """What was put before the close is there after the next start, whole."""
    entries = {a_key(): an_entry(os.urandom(n * 15)) for n in range(200)}
    async with opened(Disk(tmp_path)) as disk:
        for key, entry in entries.items():
            disk.store.put(key, entry)
    async with opened(Disk(tmp_path)) as disk:
        assert disk.notes == [StoreOpened(str(disk.data), 200)]
        for key, entry in entries.items():
            assert disk.store.get(key, NOW) == as_stored(entry)


async def test_a_large_file_that_is_checked_is_told(tmp_path: Path) -> None:
    """An operator sees why nothing is found for a while, and then that it is."""
    key = a_key()
    async with opened(Disk(tmp_path, max_bytes=80 << 20)) as disk:
        disk.store.put(key, an_entry())
    os.truncate(disk.data, 70 << 20)  # Pages behind the last one that counts.
    async with opened(Disk(tmp_path, max_bytes=80 << 20)) as disk:
        told = [StoreChecking(str(disk.data), 70 << 20), StoreOpened(str(disk.data), 1)]
        assert disk.notes == told
        assert disk.store.get(key, NOW) is not None


async def test_what_is_put_while_it_opens_is_kept(tmp_path: Path) -> None:
    """The daemon serves before the store is open: answers of that time are found and written."""
    disk = Disk(tmp_path)
    key = a_key()
    disk.store.put(key, an_entry())
    assert disk.store.get(key, NOW) is not None
    async with opened(disk):
        assert disk.store.stats().written == 1
        assert disk.store.get(key, NOW) is not None


@pytest.mark.parametrize("umask", [0o000, 0o077])
async def test_folder_and_files_are_private(tmp_path: Path, umask: int) -> None:
    """Answers are personal data: nobody else reads them, whatever the umask."""
    folder = tmp_path / "data" / "cache"
    before = os.umask(umask)
    try:
        async with opened(Disk(folder)) as disk:
            disk.store.put(a_key(), an_entry())
            await disk.store.flush()
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
            assert modes == dict.fromkeys(("data.mdb", "lock.mdb", "owner.lock"), 0o600)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        os.umask(before)


async def test_a_folder_open_to_others_is_closed(tmp_path: Path) -> None:
    """Modes of before are put right."""
    tmp_path.chmod(0o755)
    async with opened(Disk(tmp_path)) as disk:
        disk.data.chmod(0o644)
    async with opened(Disk(tmp_path)) as disk:
        assert stat.S_IMODE(disk.data.stat().st_mode) == 0o600
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


async def test_everything_purged_is_out_of_the_file(tmp_path: Path) -> None:
    """After a purge of everything no byte of an answer is left in the folder."""
    async with opened(Disk(tmp_path)) as disk:
        disk.store.put(a_key(), an_entry(b"the patient's name is"))
        await disk.store.flush()
        assert b"the patient" in disk.data.read_bytes()
        (tmp_path / "data.mdb.aside-20260101T000000Z").write_bytes(b"the patient")
        await disk.store.purge(Purge())
        assert not any(b"the patient" in file.read_bytes() for file in tmp_path.iterdir())


async def test_what_is_long_expired_is_removed(tmp_path: Path) -> None:
    """Once an entry has been expired for as long as the store was told, it goes by itself."""
    async with opened(Disk(tmp_path, keep_expired_s=60)) as disk:
        old, fresh = a_key(), a_key()
        disk.store.put(old, an_entry(expires_at=NOW + 10))
        disk.store.put(fresh, an_entry(expires_at=NOW + 1_000))
        disk.store.put(a_key(), an_entry(expires_at=NOW + 9))
        await disk.store.flush()
        disk.clock.step_wall(69.5)
        await disk.until(lambda: disk.store.stats().expired == 1)
        assert disk.store.get(old, NOW) is not None
        disk.clock.step_wall(1)
        await disk.until(lambda: disk.store.stats().expired == 2)
        assert disk.store.get(old, NOW) is None
        assert disk.store.get(fresh, NOW) is not None


async def test_what_is_used_stays(tmp_path: Path) -> None:
    """A tenth of the entries is asked for now and then: it is there when the others went."""
    async with opened(Disk(tmp_path)) as disk:
        used = {a_key() for _ in range(30)}
        for key in used:
            disk.store.put(key, an_entry(os.urandom(3_000)))
        for minute in range(1, 30):
            disk.clock.step_wall(60)
            for _ in range(60):
                disk.store.put(a_key(), an_entry(os.urandom(3_000)))
            await disk.store.flush()
            for key in used:
                disk.store.get(key, NOW + minute * 60)
            await disk.touched()
        assert disk.store.stats().evicted > 800
        assert sum(disk.store.get(key, NOW) is not None for key in used) == 30


async def test_what_was_used_is_known_after_a_restart(tmp_path: Path) -> None:
    """Also what was used just before the end, whatever the pace of its notes."""
    key = a_key()
    async with opened(Disk(tmp_path, pace=replace(QUICK, touch_s=60))) as disk:
        disk.store.put(key, an_entry())
        await disk.store.flush()
        disk.store.get(key, NOW + 600)
    shelf = Shelf(tmp_path, map_bytes=MAX_BYTES)
    with shelf.begin() as txn:
        info = info_of(key, txn.get(key, b"", db=shelf.trees.info))
    shelf.close()
    assert info is not None
    assert info.minute == minute_of(NOW + 600)


async def test_a_purge_takes_what_lies_aside(tmp_path: Path) -> None:
    """What is to be forgotten may be in it, whoever's it was."""
    async with opened(Disk(tmp_path)) as disk:
        (tmp_path / "data.mdb.aside-20260101T000000Z").write_bytes(b"the patient")
        assert await disk.store.purge(Purge(tenant="acme")) == 0
        assert disk.aside == []


async def test_what_a_full_queue_drops_hides_what_it_replaces(tmp_path: Path) -> None:
    """Not even its removal finds room to wait in: what is on disk is older, and not given again."""
    key, other = a_key(), a_key()
    async with opened(Disk(tmp_path, pace=replace(QUICK, gather_s=60))) as disk:
        for old in (key, other):
            disk.store.put(old, an_entry(b"old"))
        await disk.store.flush()
        while not disk.store.stats().dropped:
            disk.store.put(a_key(), an_entry(bytes(1)))
        for new in (key, other):
            disk.store.put(new, an_entry(b"new"))
        assert disk.store.get(key, NOW) is None
        await disk.store.flush()
        for _ in range(2):
            assert disk.store.get(key, NOW) is None
            await disk.store.flush()
        disk.store.put(other, an_entry(b"newer"))
        assert disk.store.get(other, NOW) == as_stored(an_entry(b"newer"))


async def test_a_smaller_limit_is_kept_to(tmp_path: Path) -> None:
    """A file that is larger than the limit of now is given up."""
    async with opened(Disk(tmp_path, max_bytes=16 << 20)) as disk:
        for _ in range(200):
            disk.store.put(a_key(), an_entry(os.urandom(50_000)))
            if disk.store.stats().queued > 20:
                await disk.store.flush()
        await disk.store.flush()
        assert disk.data.stat().st_size > 4 << 20
    async with opened(Disk(tmp_path, max_bytes=4 << 20)) as disk:
        assert disk.data.stat().st_size < 4 << 20
        disk.store.put(a_key(), an_entry())
        await disk.store.flush()
        assert disk.store.stats().entries == 1


async def test_the_file_never_exceeds_its_limit(tmp_path: Path) -> None:
    """Values of all sizes, put and replaced many times over, fit into the map for ever."""
    keys = [a_key() for _ in range(400)]
    async with opened(Disk(tmp_path)) as disk:
        for number in range(3_000):
            value = os.urandom((number * 7919) % 60_000)
            disk.store.put(keys[number % 400], an_entry(value))
            if disk.store.stats().queued > 6:
                await disk.store.flush()
        await disk.store.flush()
        stats = disk.store.stats()
        assert disk.data.stat().st_size <= stats.max_bytes
        assert stats.written == 3_000
        assert stats.entries > 40
        assert stats.why == ""


def test_a_limit_too_small_is_refused(tmp_path: Path) -> None:
    """A file of less than 4 MiB has no room to work in."""
    with pytest.raises(ValueError, match="the least is"):
        Disk(tmp_path, max_bytes=1 << 20)


async def test_its_repr_says_how_it_is(tmp_path: Path) -> None:
    """An operator sees what it holds and what waits."""
    async with opened(Disk(tmp_path, pace=Pace())) as disk:
        assert isinstance(disk.store, DiskStore)
        assert "0 entries" in repr(disk.store)
        disk.store.put(a_key(), an_entry())
        assert "1 waiting" in repr(disk.store)


def test_a_file_that_grows_meanwhile_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit between the look at the file's length and the comparison is no trouble."""
    shelf = Shelf(tmp_path, map_bytes=MAX_BYTES)
    look = os.lseek

    def looked(descriptor: int, at: int, how: int) -> int:
        size = look(descriptor, at, how)
        shelf._file_bytes = size + 4_096  # As the writing thread does when it has committed.
        return size

    monkeypatch.setattr(os, "lseek", looked)
    assert shelf.read(a_key()) is None
    monkeypatch.undo()
    shelf._file_bytes = look(shelf._descriptor, 0, os.SEEK_END)
    assert shelf.trouble() == ""
    shelf.close()
