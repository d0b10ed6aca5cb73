"""`DiskBook`: what was spent is never forgotten, whatever becomes of process, disk and file."""

import asyncio
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sidecard.core.ledger import (
    Balance,
    Holding,
    LedgerFailed,
    LedgerOpened,
    LedgerOut,
    LedgerSetAside,
    UsageQuery,
    Used,
)
from sidecard.store.environment import DATA
from sidecard.store.ledger_desk import Batch
from sidecard.store.ledger_file import LedgerFile
from tests.store.disk import full_disk
from tests.store.ledgers import QUICK, balance, holding, opened, spent


async def test_what_was_settled_is_there_again(tmp_path: Path) -> None:
    """The last balance of each account, and nothing that was only reserved and given back."""
    async with opened(tmp_path) as kept:
        for number in range(1, 4):
            await kept.book.reserved(holding(number))
            kept.book.ended(number, [balance(number * 10)], None)
        await kept.book.reserved(holding(4, whose="other"))
        kept.book.ended(4, [], None)
    assert await spent(tmp_path) == {"acme": 30}
    assert await spent(tmp_path) == {"acme": 30}


async def test_what_was_left_open_is_spent(tmp_path: Path) -> None:
    """The attempts of a process that died count with all they may have cost, once."""
    async with opened(tmp_path) as kept:
        await kept.book.reserved(holding(1))
        kept.book.ended(1, [balance(7)], None)
        await kept.book.reserved(holding(2, 50))
        await kept.book.reserved(holding(3, 20, "other"))
    async with opened(tmp_path) as kept:
        assert {f.values[0]: f.spent for f in kept.found[0]} == {"acme": 57, "other": 20}
        [note] = kept.notes(LedgerOpened)
        assert isinstance(note, LedgerOpened)
        assert note.left_open == 2
        rows = await kept.book.usage(UsageQuery(0, ("tenant",)))
        assert {row.tenant: (row.calls, row.guessed, row.nano_usd) for row in rows} == {
            "acme": (1, 1, 50),
            "other": (1, 1, 20),
        }
    assert await spent(tmp_path) == {"acme": 57, "other": 20}


async def test_what_was_left_open_can_be_released(tmp_path: Path) -> None:
    """Until then it is told, over restarts, too; then it is neither spent nor used, for good."""
    async with opened(tmp_path) as kept:
        await kept.book.reserved(holding(1, 50))
        await kept.book.reserved(holding(2, 20, "other"))
    async with opened(tmp_path) as kept:
        kept.book.ended(9, [], Used("acme", "default", "claude", nano_usd=7))
        await kept.book.reserved(holding(1, 4))
    async with opened(tmp_path) as kept:
        assert kept.book.left_open == (3, 74)
        ledger = {found.values: found for found in kept.found[0]}

        def give_back(amounts: Sequence[Balance]) -> Iterable[Balance]:
            for amount in amounts:
                before = ledger[amount.values]
                ledger[amount.values] = before._replace(spent=before.spent - amount.spent)
            return ledger.values()

        assert await kept.book.release_left(give_back) == (3, 74)
        assert kept.book.left_open == await kept.book.release_left(list) == (0, 0)
        rows = await kept.book.usage(UsageQuery(0, ("tenant",)))
        assert [(row.tenant, row.calls, row.guessed, row.nano_usd) for row in rows] == [
            ("acme", 1, 0, 7)
        ]
    assert await spent(tmp_path) == {"acme": 0, "other": 0}


async def test_what_was_released_is_on_disk_when_that_is_said(tmp_path: Path) -> None:
    """A process that is killed right after it takes none of it back."""
    async with opened(tmp_path) as kept:
        await kept.book.reserved(holding(1, 50))
    copy = tmp_path / "copy"
    async with opened(tmp_path, replace(QUICK, gather_s=60)) as kept:
        released = [balance(0)]
        assert await kept.book.release_left(lambda _: released) == (1, 50)
        shutil.copytree(tmp_path, copy)
    assert await spent(copy) == {"acme": 0}


def test_what_counts_nowhere_any_more_is_not_kept_aside(tmp_path: Path) -> None:
    """What is left open of long ago can't be given back, so that it needn't be kept."""
    file = LedgerFile(tmp_path)
    amount = balance(5)._replace(until=1_000)
    file.commit(Batch(opened={1: Holding(1, (amount,), Used("acme", nano_usd=5))}))
    assert file.take_over(900)[1] == 1
    assert file.left_open() == (1, 5)
    file.take_over(1_001)
    assert file.left_open() == (0, 0)
    file.close()


async def test_those_who_wait_together_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand at one moment take a few commits, and each is on disk when it may go on."""
    commits: list[int] = []
    commit = LedgerFile.commit

    def counted(file: LedgerFile, batch: Batch) -> None:
        commits.append(len(batch.opened))
        commit(file, batch)

    monkeypatch.setattr(LedgerFile, "commit", counted)
    async with opened(tmp_path) as kept:
        await asyncio.gather(*[kept.book.reserved(holding(n, 1)) for n in range(1, 1_001)])
        assert sum(commits) == 1_000
        assert len(commits) < 50
    assert await spent(tmp_path) == {"acme": 1_000}


async def test_one_who_leaves_takes_nobody_along(tmp_path: Path) -> None:
    """Cancelling one that waits leaves the others waiting, and is struck out."""
    async with opened(tmp_path) as kept:
        tasks = [asyncio.ensure_future(kept.book.reserved(holding(n))) for n in (1, 2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        kept.book.ended(1, [], None)
        assert (await asyncio.wait(tasks))[1] == set()
        assert [task.cancelled() for task in tasks] == [True, False]
    assert await spent(tmp_path) == {"acme": 100}


async def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    """While it can't be written whoever waits is told; with room all that is known is written."""
    async with opened(tmp_path) as kept:
        await kept.book.reserved(holding(1))
        size = (tmp_path / DATA).stat().st_size
        with full_disk(size // 2):
            many = [
                kept.book.reserved(holding(number, 1, f"t{number}")) for number in range(2, 400)
            ]
            assert LedgerFailed in map(type, await asyncio.gather(*many, return_exceptions=True))
            with pytest.raises(LedgerFailed):
                await kept.book.reserved(holding(1_000))
            kept.book.ended(1, [balance(40)], Used("acme", "r", "m", nano_usd=40))
            kept.all = [balance(40), balance(9, "open mode")]
            assert len(kept.notes(LedgerOut)) == 1
        await kept.until(lambda: not kept.book.why)
        assert len(kept.notes(LedgerOpened)) == 2
        assert sum(row.nano_usd for row in await kept.book.usage(UsageQuery(0))) == 40
        for number in [*range(2, 400), 1_000]:
            kept.book.ended(number, [], None)
    assert await spent(tmp_path) == {"acme": 40, "open mode": 9}


async def test_a_file_that_is_taken_away_is_written_anew(tmp_path: Path) -> None:
    """What memory knows, spent and open, is in the new one."""
    async with opened(tmp_path) as kept:
        await kept.book.reserved(holding(1, 5, "open"))
        kept.all = [balance(40)]
        (tmp_path / DATA).unlink()
        await kept.until(lambda: len(kept.notes(LedgerOpened)) == 2)
        assert kept.found[1:] == [[]]
        assert [note.why for note in kept.said if isinstance(note, LedgerOut)] == [
            "its file was removed"
        ]
    assert await spent(tmp_path) == {"acme": 40, "open": 5}


async def test_a_file_that_is_none_is_set_aside(tmp_path: Path) -> None:
    """It is said, as what was in it isn't counted."""
    tmp_path.joinpath(DATA).write_bytes(os.urandom(20_000))
    async with opened(tmp_path) as kept:
        await kept.until(lambda: not kept.book.why)
        [note] = kept.notes(LedgerSetAside)
        assert isinstance(note, LedgerSetAside)
        assert Path(note.file).exists()
        await kept.book.reserved(holding(1))


async def test_a_second_daemon_has_no_book(tmp_path: Path) -> None:
    """Two processes on one folder would each spend the whole limit."""
    async with opened(tmp_path), opened(tmp_path) as second:
        with pytest.raises(LedgerFailed, match="another process works in"):
            await second.book.reserved(holding(1))
