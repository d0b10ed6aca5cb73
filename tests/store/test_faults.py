"""A store whose disk, folder or file fails: it serves without, says so once, and comes back."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import lmdb
import pytest

from sidecard.core.store import Purge, StoreFailed, StoreOpened, StoreOut, StoreSetAside
from sidecard.store.keeper import Pace
from tests.store.conformance import MAX_BYTES, NOW, a_key, an_entry
from tests.store.disk import QUICK, Disk, full_disk, opened
from tests.support.small_disk import remounted, small_disk

SELDOM = Pace(gather_s=0.002, retry_s=0.02, look_s=30, tidy_s=30, touch_s=30)


@asynccontextmanager
async def filled(folder: Path, pace: Pace = QUICK) -> AsyncIterator[tuple[Disk, list[bytes]]]:
    """A store with a hundred entries, on disk."""
    keys = [a_key() for _ in range(100)]
    async with opened(Disk(folder, pace=pace)) as disk:
        for key in keys:
            disk.store.put(key, an_entry(os.urandom(1_000)))
        await disk.store.flush()
        yield disk, keys


async def works(disk: Disk) -> bool:
    """Return whether an entry reaches the disk."""
    before, key = disk.store.stats().written, a_key()
    disk.store.put(key, an_entry())
    await disk.store.flush()
    return disk.store.stats().written == before + 1 and disk.store.get(key, NOW) is not None


async def test_a_full_disk_costs_new_entries_alone(tmp_path: Path) -> None:
    """Old answers are still found, new ones dropped and counted; with room it goes on by itself."""
    async with filled(tmp_path) as (disk, keys):
        size = disk.data.stat().st_size
        with full_disk(size):
            for _ in range(20):
                disk.store.put(a_key(), an_entry(os.urandom(20_000)))
                await disk.store.flush()
            assert len(disk.said(StoreOut)) == 1, disk.notes
            stats = disk.store.stats()
            assert stats.dropped > 0
            assert stats.written + stats.dropped == 120
            assert "File too large" in stats.why
            assert all(disk.store.get(key, NOW) for key in keys)
        await asyncio.sleep(0.05)
        assert await works(disk)
        assert disk.store.stats().why == ""
        assert len(disk.said(StoreOpened)) == 2
        assert all(disk.store.get(key, NOW) for key in keys)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, where one can be mounted."""
    with small_disk(tmp_path / "small") as folder:
        yield folder


async def test_a_file_system_that_is_full_is_survived(small: Path) -> None:
    """Twice what it holds is put: it says so once, reads on, and writes when there is room."""
    ballast = small / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    async with filled(small / "cache") as (disk, keys):
        for _ in range(100):
            disk.store.put(a_key(), an_entry(os.urandom(40_000)))
            await disk.store.flush()
        assert "bytes are free" in disk.store.stats().why
        assert len(disk.said(StoreOut)) == 1
        assert all(disk.store.get(key, NOW) for key in keys)
        ballast.unlink()
        await asyncio.sleep(0.05)
        assert await works(disk)
        assert all(disk.store.get(key, NOW) for key in keys)
    async with opened(Disk(small / "cache")) as disk:
        assert disk.said(StoreSetAside) == []
        assert all(disk.store.get(key, NOW) for key in keys)


async def test_a_file_system_that_is_read_only_at_the_start_is_waited_for(small: Path) -> None:
    """The store is out and says so, the daemon serves, and it opens when it can."""
    remounted(small, "ro")
    try:
        async with opened(Disk(small / "cache")) as disk:
            disk.store.put(a_key(), an_entry())
            await disk.store.flush()
            assert "Read-only" in disk.store.stats().why
            remounted(small, "rw")
            await disk.until(lambda: len(disk.said(StoreOpened)) == 1)
            assert await works(disk)
    finally:
        remounted(small, "rw")


async def test_a_disk_full_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """No file can be made: the store is out, and opens when one can."""
    with full_disk(100):
        async with opened(Disk(tmp_path)) as disk:
            disk.store.put(a_key(), an_entry())
            await disk.store.flush()
            await asyncio.sleep(0.1)
            assert [type(note) for note in disk.notes] == [StoreOut]
    async with opened(Disk(tmp_path)) as disk:
        assert await works(disk)
        assert disk.said(StoreSetAside) == []


async def test_a_removed_folder_is_made_anew(tmp_path: Path) -> None:
    """The entries are gone with it, and new ones are kept."""
    folder = tmp_path / "cache"
    async with filled(folder) as (disk, _):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        await disk.until(lambda: len(disk.said(StoreOpened)) == 2)
        assert disk.said(StoreOut) == [StoreOut(str(folder), "its file was removed")]
        assert await works(disk)
        assert disk.data.exists()


async def test_a_file_put_in_its_place_is_taken(tmp_path: Path) -> None:
    """A file that was restored under the daemon is opened, after it was checked."""
    async with filled(tmp_path / "other") as (other, keys):
        pass
    async with opened(Disk(tmp_path / "cache")) as disk:
        other.data.rename(disk.data)
        await disk.until(lambda: len(disk.said(StoreOpened)) == 2)
        assert all(disk.store.get(key, NOW) for key in keys)


@pytest.mark.parametrize("size", [0, 4_096, 20_000])
async def test_a_file_cut_under_the_daemon_kills_nothing(tmp_path: Path, size: int) -> None:
    """Reading on would be a SIGBUS: the store is out at once, and begins anew."""
    async with filled(tmp_path, SELDOM) as (disk, keys):
        os.truncate(disk.data, size)
        assert [disk.store.get(key, NOW) for key in keys] == [None] * 100
        await disk.until(lambda: len(disk.said(StoreOpened)) == 2)
        assert await works(disk)
        assert len(disk.aside) == (1 if size else 0)


@pytest.mark.parametrize("size", [1, 4_096, 8_192, 50_000])
async def test_a_cut_file_is_set_aside(tmp_path: Path, size: int) -> None:
    """A file that ends before its tree does is renamed, with the time, before it is mapped."""
    async with filled(tmp_path) as (disk, _):
        pass
    os.truncate(disk.data, size)
    async with opened(Disk(tmp_path)) as disk:
        (note,) = disk.said(StoreSetAside)
        assert isinstance(note, StoreSetAside)
        assert note.file == str(tmp_path / "data.mdb.aside-20260921T141320Z")
        assert note.why
        assert [file.stat().st_size for file in disk.aside] == [size]
        assert await works(disk)


async def test_an_empty_file_is_begun(tmp_path: Path) -> None:
    """What was killed before it wrote anything leaves nothing to set aside."""
    (tmp_path / "data.mdb").touch()
    async with opened(Disk(tmp_path)) as disk:
        assert await works(disk)
        assert disk.aside == []


async def test_the_tail_of_a_file_may_be_longer(tmp_path: Path) -> None:
    """Pages behind the last one that counts are no damage: a killed commit leaves such."""
    async with filled(tmp_path) as (disk, keys):
        pass
    with disk.data.open("ab") as file:
        file.write(os.urandom(100_000))
    async with opened(Disk(tmp_path)) as disk:
        assert all(disk.store.get(key, NOW) for key in keys)
        assert disk.aside == []


async def test_a_file_of_a_newer_version_is_set_aside(tmp_path: Path) -> None:
    """Its format is ours to tell: nothing of it is read, and nothing of it is lost."""
    async with filled(tmp_path) as (disk, _):
        pass
    with lmdb.open(str(tmp_path), max_dbs=8, map_size=4 << 20) as env:
        about = env.open_db(b"about")
        with env.begin(about, write=True) as txn:
            txn.put(b"format", b"2")
    async with opened(Disk(tmp_path)) as disk:
        (note,) = disk.said(StoreSetAside)
        assert isinstance(note, StoreSetAside)
        assert "format is b'2'" in note.why
        assert disk.store.stats().set_aside == 1
        assert await works(disk)


async def test_a_file_of_another_engine_is_set_aside(tmp_path: Path) -> None:
    """LMDB 1.0 writes files that 0.9 doesn't read."""
    with lmdb.open(str(tmp_path), lib_version=1) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    async with opened(Disk(tmp_path)) as disk:
        assert len(disk.said(StoreSetAside)) == 1
        assert await works(disk)


@pytest.mark.parametrize("what", ["text", "folder", "fifo", "link"])
async def test_what_is_no_data_file_is_set_aside(tmp_path: Path, what: str) -> None:
    """Whatever lies in its place is moved, not opened, not waited for."""
    data = tmp_path / "data.mdb"
    match what:
        case "text":
            data.write_text("not a database\n" * 1_000)
        case "folder":
            data.mkdir()
            (data / "something").touch()
        case "fifo":
            os.mkfifo(data)
        case _:
            data.symlink_to("/dev/zero")
    async with opened(Disk(tmp_path)) as disk:
        assert len(disk.said(StoreSetAside)) == 1
        assert await works(disk)
        assert len(disk.aside) == 1


async def test_only_the_newest_is_kept_aside(tmp_path: Path) -> None:
    """Broken files don't fill the disk."""
    (tmp_path / "data.mdb.aside-20260101T000000Z").write_bytes(b"broken long ago")
    (tmp_path / "data.mdb.aside-20260102T000000Z").mkdir()
    (tmp_path / "data.mdb").write_bytes(os.urandom(10_000))
    async with opened(Disk(tmp_path)) as disk:
        assert await works(disk)
        assert [file.name for file in disk.aside] == ["data.mdb.aside-20260921T141320Z"]


async def test_a_folder_that_cant_be_is_waited_for(tmp_path: Path) -> None:
    """A file where the folder should be: it is out, and says why; once that is gone, it opens."""
    folder = tmp_path / "cache"
    folder.touch()
    async with opened(Disk(folder)) as disk:
        assert not await works(disk)
        assert [type(note) for note in disk.notes] == [StoreOut]
        with pytest.raises(StoreFailed):
            await disk.store.purge(Purge(tenant="acme"))
        folder.unlink()
        await disk.until(lambda: len(disk.said(StoreOpened)) == 1)
        assert await works(disk)


async def test_a_second_store_works_without(tmp_path: Path) -> None:
    """Two on one folder: the second takes nothing, purges nothing, and takes over in the end."""
    async with filled(tmp_path) as (first, keys), opened(Disk(tmp_path)) as second:
        assert not await works(second)
        assert "another process" in second.store.stats().why
        assert len(second.said(StoreOut)) == 1
        with pytest.raises(StoreFailed):
            await second.store.purge(Purge())
        assert all(first.store.get(key, NOW) for key in keys)
        assert await works(first)
        await first.store.aclose()
        await second.until(lambda: second.store.stats().why == "")
        assert second.store.stats().entries == 101
        assert await works(second)


HOLDER = """
import sys, time, lmdb
env = lmdb.open(sys.argv[1], max_dbs=8, map_size=4 << 20)
reader = env.begin()
writer = env.begin(write=True)
print("held", flush=True)
time.sleep(60)
"""


def die_holding_locks(folder: Path) -> None:
    """Have a process die within a read and a write of LMDB's."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        child.kill()


async def test_the_locks_of_a_killed_process_are_void(tmp_path: Path) -> None:
    """It died within a write and a read of LMDB's: the next one waits for neither."""
    async with filled(tmp_path) as (_, keys):
        pass
    die_holding_locks(tmp_path)
    async with opened(Disk(tmp_path)) as disk:
        assert await works(disk)
        assert all(disk.store.get(key, NOW) for key in keys)


async def test_a_map_that_nothing_frees_is_begun_anew(tmp_path: Path) -> None:
    """Another tree has filled it: the entries go, the file is new, and no call hears of it."""
    async with filled(tmp_path):
        pass
    with lmdb.open(str(tmp_path), max_dbs=8, map_size=MAX_BYTES) as env:
        other = env.open_db(b"other")
        for size in (100_000, 4_000, 100):
            with suppress(lmdb.MapFullError):
                while True:
                    with env.begin(other, write=True) as txn:
                        txn.put(a_key(), bytes(size))
    async with opened(Disk(tmp_path)) as disk:
        for _ in range(100):
            disk.store.put(a_key(), an_entry(os.urandom(3_000)))
            await disk.store.flush()
        assert await works(disk)
        assert disk.store.stats().why == ""
