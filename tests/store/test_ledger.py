"""`DiskBook`: what was spent is never forgotten, whatever becomes of process, disk and file."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sidecard.core.clock import SystemClock
from sidecard.core.ledger import (
    Balance,
    Book,
    Holding,
    LedgerFailed,
    LedgerNote,
    LedgerOpened,
    LedgerOut,
    LedgerSetAside,
    Sums,
    UsageQuery,
    Used,
)
from sidecard.policy.accounts import OTHERS
from sidecard.store import ledger_file
from sidecard.store.environment import DATA
from sidecard.store.ledger import DiskBook
from sidecard.store.ledger_desk import Batch, UsageKey
from sidecard.store.ledger_file import LedgerFile
from sidecard.store.ledger_keeper import LedgerPace
from sidecard.store.ledger_memory import MemoryBook
from tests.store.disk import full_disk
from tests.support.clock import ManualClock

QUICK = LedgerPace(gather_s=0.002, retry_s=0.02, look_s=0.02, tidy_s=0.01)
FOREVER = 1 << 40
HOUR = 1_790_000_000 // 3600


def balance(spent: int, whose: str = "acme", start: int = 3600) -> Balance:
    return Balance("all; dollars", (whose,), start, spent, FOREVER)


def holding(number: int, amount: int = 100, whose: str = "acme") -> Holding:
    used = Used(whose, "default", "claude", guessed=1, nano_usd=amount)
    return Holding(number, (balance(amount, whose),), used)


class Kept:
    """A book, what its merges were given, and what it said; `all` is what memory knows."""

    def __init__(self, folder: Path, pace: LedgerPace = QUICK) -> None:
        self.folder = folder
        self.found: list[list[Balance]] = []
        self.all: list[Balance] = []
        self.said: list[LedgerNote] = []
        self.book = DiskBook(
            folder,
            merge=self._merge,
            clock=SystemClock(),
            say=self.said.append,
            keep_usage_s=1e9,
            pace=pace,
        )

    def _merge(self, kept: Sequence[Balance]) -> Iterable[Balance]:
        self.found.append(list(kept))
        self.all += kept
        return self.all

    def notes(self, kind: type) -> list[LedgerNote]:
        return [note for note in self.said if isinstance(note, kind)]

    async def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < end, self.said
            await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(folder: Path, pace: LedgerPace = QUICK) -> AsyncIterator[Kept]:
    """Open a book, and close it at the end."""
    kept = Kept(folder, pace)
    try:
        await kept.until(lambda: kept.book.why != "it is being opened")
        yield kept
    finally:
        await kept.book.aclose()


async def spent(folder: Path) -> dict[str, int]:
    """Return what the next process finds, by account."""
    async with opened(folder) as kept:
        return {found.values[0]: found.spent for found in kept.found[0]}


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


async def test_a_long_sum_holds_up_no_reservation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for 90 days of use has it summed up in parts, and calls go on between them."""
    monkeypatch.setattr(ledger_file, "_ROUND", 10)
    async with opened(tmp_path) as kept:
        for number in range(300):
            kept.book.ended(number, [], Used(f"tenant-{number}", "default", "claude"))
        await kept.book.flush()
        asked = asyncio.create_task(kept.book.usage(UsageQuery(0, ("model",))))
        await asyncio.sleep(0)
        await kept.book.reserved(holding(1_000))
        assert not asked.done()
        assert [row.calls for row in await asked] == [300]


async def test_use_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """As what it is, not as a bug."""
    file = LedgerFile(tmp_path)
    batch = Batch()
    batch.used[UsageKey(int(time.time()) // 3600, "t", "r", "m")] = Used(("no name",), "r", "m")  # type: ignore[arg-type]
    file.commit(batch)
    file.close()
    async with opened(tmp_path) as kept:
        with pytest.raises(LedgerFailed, match="what was used can't be read"):
            await kept.book.usage(UsageQuery(0))


def used(file: LedgerFile, since: float) -> list[Used]:
    sums = Sums(())
    assert file.usage(since, sums) == b""
    return sums.rows()


async def test_those_who_wait_together_are_written_together(tmp_path: Path) -> None:
    """A thousand at one moment take a few commits, and each is on disk when it may go on."""
    async with opened(tmp_path) as kept:
        await asyncio.gather(*[kept.book.reserved(holding(n, 1)) for n in range(1, 1_001)])
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


@pytest.mark.parametrize("memory", [False, True], ids=["disk", "memory"])
async def test_use_is_summed_up_by_what_is_asked_for(tmp_path: Path, *, memory: bool) -> None:
    """By tenant, route and model, or all in one, from an hour on."""
    clock = ManualClock(wall=HOUR * 3600.0)
    book: Book = MemoryBook(clock)
    if not memory:
        book = DiskBook(
            tmp_path, merge=list, clock=clock, say=lambda _: None, keep_usage_s=1e9, pace=QUICK
        )
    uses = [
        Used("acme", "fast", "claude-a", 1, 0, 10, 1, 2, 3, 40),
        Used("acme", "slow", "claude-a", 1, 1, 5, 1, 0, 0, 7),
        Used("zeta", "fast", "claude-b", 1, 0, 1, 1, 0, 0, 3),
    ]
    for used in uses:
        book.ended(0, [], used)
    clock.advance(3600)
    book.ended(0, [], uses[0])
    by_tenant = {u.tenant: u for u in await book.usage(UsageQuery(0, ("tenant",)))}
    assert by_tenant == {
        "acme": Used("acme", "", "", 3, 1, 25, 3, 4, 6, 87),
        "zeta": Used("zeta", "", "", 1, 0, 1, 1, 0, 0, 3),
    }
    assert [u.calls for u in await book.usage(UsageQuery(0))] == [4]
    assert len(await book.usage(UsageQuery(0, ("tenant", "route", "model")))) == 3
    later = await book.usage(UsageQuery((HOUR + 1) * 3600.0 + 5, ("model",)))
    assert later == [Used("", "", "claude-a", 1, 0, 10, 1, 2, 3, 40)]
    await book.aclose()


async def test_tenants_that_callers_make_up_are_bounded() -> None:
    """Of an hour's use the later ones are counted together, and nothing is lost."""
    book = MemoryBook(ManualClock())
    for number in range(6_000):
        book.ended(0, [], Used(f"t{number}", "default", "claude", nano_usd=1))
    rows = await book.usage(UsageQuery(0, ("tenant",)))
    assert len(rows) == 5_001
    assert {row.tenant: row.nano_usd for row in rows}[OTHERS] == 1_000


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


def test_what_is_old_is_removed(tmp_path: Path) -> None:
    """Balances after their time, hours after theirs, and the oldest hours of too many rows."""
    file = LedgerFile(tmp_path)
    batch = Batch()
    for number in range(3_000):
        batch.balances["b", (f"{number}",), 0] = Balance("b", (f"{number}",), 0, 1, number)
    for hour in range(100):
        batch.used[UsageKey(hour, "t", "r", "m")] = Used("t", "r", "m")
    file.commit(batch)
    for _ in range(3):
        file.tidy(2_990, 1e9)
    found, _ = file.take_over(0)
    assert sorted(balance.until for balance in found) == list(range(2_991, 3_000))
    file.tidy(100 * 3600, 10 * 3600)
    assert [row.calls for row in used(file, 0)] == [10]
    file.tidy(100 * 3600, 1e9, most_rows=4)
    assert [row.calls for row in used(file, 96 * 3600)] == [4]
    file.close()
