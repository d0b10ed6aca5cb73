"""A file that LMDB finds wrong while it is open: closed, gone through anew, and taken again."""

import os
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import lmdb
import pytest

from sidecard.core.store import StoreOpened, StoreOut
from sidecard.store.shelf import Shelf
from tests.store.conformance import NOW, a_key, an_entry
from tests.store.disk import QUICK, Disk, opened

PATIENT = replace(QUICK, retry_s=0.3)


class Corrupted(lmdb.CorruptedError):
    """As LMDB raises it, with its code."""

    code = -30_796  # type: ignore[misc]  # as the library sets it


def corrupted(*_: object) -> NoReturn:
    raise Corrupted("MDB_CORRUPTED: Located page was wrong type")


@pytest.mark.parametrize("what", ["write", "read"])
async def test_a_file_in_doubt_is_gone_through_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Nothing is read of it until it has passed; each time it is told, once, and counted."""
    keys = [a_key() for _ in range(20)]
    async with opened(Disk(tmp_path, pace=PATIENT)) as disk:
        for key in keys:
            disk.store.put(key, an_entry(os.urandom(500)))
        await disk.store.flush()
        for time in (1, 2):
            with monkeypatch.context() as patched:
                patched.setattr(Shelf, what, corrupted)
                if what == "write":
                    disk.store.put(a_key(), an_entry())
                else:
                    assert disk.store.get(a_key(), NOW) is None
                await disk.until(lambda: len(disk.said(StoreOut)) == time)  # noqa: B023
            if what == "write":
                stats = disk.store.stats()
                assert "MDB_CORRUPTED" in stats.why
                assert (stats.entries, stats.dropped) == (0, time)
                assert disk.store.get(keys[0], NOW) is None
            await disk.until(lambda: len(disk.said(StoreOpened)) == time + 1)  # noqa: B023
            assert all(disk.store.get(key, NOW) for key in keys)
        assert disk.aside == []
