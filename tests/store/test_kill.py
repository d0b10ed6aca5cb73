"""A process that is killed while it writes."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from sidecard.core.store import StoreSetAside
from sidecard.store.cipher import Cipher
from tests.store import victim
from tests.store.conformance import NOW
from tests.store.disk import Disk, opened
from tests.store.victim import KEYS, MAX_BYTES, entry_of, key_of

KILLS = int(os.environ.get("SIDECARD_TEST_KILLS", "200"))


# A server that has imported everything forks them, so that a process costs no start of Python.
_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.store.victim"])


def killed_while_writing(folder: Path, seed: int, key_file: Path | None) -> None:
    """Start the process, and kill it some hundredths of a second after it began to write."""
    ours, its = _FORKS.Pipe()
    child = _FORKS.Process(target=victim.main, args=(folder, seed, key_file, its))
    child.start()
    assert ours.recv_bytes() == b"open"
    time.sleep(random.Random(seed).uniform(0.0, 0.06))  # noqa: S311
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL


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
        killed_while_writing(folder, seed, key_file)
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
