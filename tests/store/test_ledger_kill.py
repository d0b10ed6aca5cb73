"""A process that is killed while it spends: the ledger against the bill, 200 times."""

import os
from pathlib import Path
from typing import Final

import pytest

from sidecard.core.ledger import LedgerOpened, LedgerSetAside, UsageQuery
from tests.store import ledger_victim
from tests.store.killing import FORKS, killed
from tests.store.ledger_victim import CALLERS, TENANTS, WORST, Books, bills

KILLS: Final = int(os.environ.get("SIDECARD_TEST_KILLS", "200"))


def killed_while_spending(folder: Path, seed: int) -> list[int]:
    """Return what a process was billed until it was killed, soon after it began."""
    billed, billing = FORKS.Pipe(duplex=False)
    with billed:
        with billing:
            killed(ledger_victim.main, folder, seed, billing, seed=seed)
        return bills(billed.fileno())


@pytest.mark.timeout(600)
async def test_a_ledger_says_what_was_billed_and_no_more_than_was_open(tmp_path: Path) -> None:
    """Kill -9 at any moment, one process after the other, each going on with the same file."""
    folder, billed, calls, left = tmp_path / "ledger", 0, 0, 0
    for seed in range(KILLS):
        found = killed_while_spending(folder, seed)
        billed, calls = billed + sum(found), calls + len(found)
        books = Books(folder, seed)
        await books.book.flush()
        [note] = [note for note in books.said if isinstance(note, LedgerOpened)]
        assert not [note for note in books.said if isinstance(note, LedgerSetAside)]
        left += note.left_open
        assert books.book.left_open == (left, left * WORST)
        spent = books.spent()
        assert spent["money"] == spent["own"]
        assert billed <= spent["money"] <= billed + left * WORST
        rows = await books.book.usage(UsageQuery(0, ("tenant",)))
        assert sum([row.nano_usd for row in rows]) == spent["money"]
        assert sum([row.guessed for row in rows]) == left
        assert len(rows) <= TENANTS
        await books.book.aclose()
    assert calls > KILLS
    assert 0 < left <= CALLERS * KILLS
    released = await _released(folder)
    assert released == (left, left * WORST)


async def _released(folder: Path) -> tuple[int, int]:
    """Release what was left open, and see that what stays is what was settled."""
    books = Books(folder, KILLS)
    await books.book.flush()
    released = await books.book.release_left(books.ledger.give_back)
    rows = await books.book.usage(UsageQuery(0))
    assert [row.guessed for row in rows] == [0]
    assert books.spent()["money"] == books.spent()["own"] == rows[0].nano_usd
    await books.book.aclose()
    return released
