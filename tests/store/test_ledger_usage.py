"""The record of use: what calls used, by the hour, whether or not a budget counts them."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sidecard.core.ledger import (
    Balance,
    Book,
    LedgerFailed,
    Sums,
    UsageQuery,
    Used,
)
from sidecard.policy.accounts import OTHERS
from sidecard.store import ledger_desk, ledger_file
from sidecard.store.ledger import DiskBook
from sidecard.store.ledger_desk import Batch, LedgerDesk, UsageKey
from sidecard.store.ledger_file import LedgerFile
from sidecard.store.ledger_memory import MemoryBook
from tests.store.ledgers import HOUR, QUICK, holding, opened
from tests.support.clock import ManualClock


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
    book.record(uses[0])
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
        book.record(Used(f"t{number}", "default", "claude", nano_usd=1))
    rows = await book.usage(UsageQuery(0, ("tenant",)))
    assert len(rows) == 5_001
    assert {row.tenant: row.nano_usd for row in rows}[OTHERS] == 1_000


def test_while_nothing_can_be_written_no_use_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hour upon hour gathers; of too many the later ones are counted together, by the hour."""
    monkeypatch.setattr(ledger_desk, "_MOST_KEYS", 4)
    desk = LedgerDesk()
    for hour in range(3):
        for number in range(3):
            desk.record(Used(f"t{number}", "r", "m", nano_usd=1), hour * 3600.0)
        taken, _ = desk.take()
        desk.record(Used("t0", "r", "m", nano_usd=10), hour * 3600.0)
        desk.give_back(taken)
    used = desk.take()[0].used
    found = {(key.hour, key.tenant): row.nano_usd for key, row in used.items()}
    first = {(0, "t0"): 11, (0, "t1"): 1, (0, "t2"): 1, (1, "t0"): 11}
    assert found == first | {(1, OTHERS): 2, (2, OTHERS): 13}


async def test_a_record_alone_is_written_at_the_next_look(tmp_path: Path) -> None:
    """It has no commit of its own, and is there when it is asked for, and after a restart."""
    async with opened(tmp_path, replace(QUICK, look_s=60.0, retry_s=60.0)) as kept:
        kept.book.record(Used("acme", "r", "m", nano_usd=4))
        await kept.book.flush()
        kept.book.record(Used("acme", "r", "m", nano_usd=3))
    async with opened(tmp_path) as kept:
        [row] = await kept.book.usage(UsageQuery(0))
        assert (row.calls, row.nano_usd) == (2, 7)


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
