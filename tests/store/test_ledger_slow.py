"""The ledger on a disk that takes its time."""

import asyncio
import threading
from pathlib import Path

import pytest

from sidecard.core.ledger import LedgerFailed
from sidecard.store.ledger_desk import Batch
from sidecard.store.ledger_file import LedgerFile
from tests.store.ledgers import holding, opened


async def test_a_slow_disk_is_waited_for_and_a_stuck_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in time is as good as ever; after that nothing was spent, and it says why."""
    stuck = threading.Event()
    commit = LedgerFile.commit

    def slowly(file: LedgerFile, batch: Batch) -> None:
        if batch.waiters:
            stuck.wait(10)
        commit(file, batch)

    monkeypatch.setattr(LedgerFile, "commit", slowly)
    async with opened(tmp_path) as kept:
        asyncio.get_running_loop().call_later(0.2, stuck.set)
        await kept.book.reserved(holding(1, 50))
        stuck.clear()
        monkeypatch.setattr("sidecard.store.ledger._PATIENCE_S", 0.1)
        with pytest.raises(LedgerFailed, match=r"the disk takes longer than 0\.1 s"):
            await kept.book.reserved(holding(2, 50))
        stuck.set()
