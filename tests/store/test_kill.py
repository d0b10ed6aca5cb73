"""A process that is killed while it writes."""

import os
from pathlib import Path

import pytest

from sidecard.core.store import StoreSetAside
from sidecard.store.cipher import Cipher
from tests.store import victim
from tests.store.conformance import NOW
from tests.store.disk import Disk, opened
from tests.store.killing import killed
from tests.store.victim import KEYS, MAX_BYTES, entry_of, key_of

KILLS = int(os.environ.get("SIDECARD_TEST_KILLS", "200"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kills", "encrypted"), [(KILLS, False), (KILLS // 10, True)])
async def test_what_a_killed_process_wrote_is_whole(
    tmp_path: Path, kills: int, *, encrypted: bool
) -> None:
    """Kill -9 at any moment: the next start serves, and every entry that is found is right."""
    most, key_file, folder = 0, tmp_path / "key" if encrypted else None, tmp_path / "cache"
    if key_file is not None:
        key_file.write_text(os.urandom(32).hex())
    for seed in range(kills):
        killed(victim.main, folder, seed, key_file, seed=seed)
        cipher = Cipher(key_file) if key_file is not None else None
        async with opened(Disk(folder, max_bytes=MAX_BYTES, cipher=cipher)) as disk:
            assert disk.said(StoreSetAside) == []
            found = 0
            for number in range(KEYS):
                stored = disk.store.get(key_of(number), NOW)
                if stored is not None:
                    found += 1
                    version = int(stored.value.split(b" ", 2)[1])
                    assert stored.value == entry_of(number, version).value
            stats = disk.store.stats()
            assert stats.damaged == 0
            assert stats.entries == found
            most = max(most, found)
    assert most > 100
