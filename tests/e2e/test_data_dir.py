"""What `data_dir` keeps when it is copied, or met by a version with another format."""

import shutil
import signal
from pathlib import Path

import lmdb

from sidecard.simulator.server import Simulator
from sidecard.store.ledger_file import FORMAT
from tests.e2e.test_budget import ASK, accounts, served
from tests.support.daemon import Daemon

LIMIT = {"name": "all", "calls": 10, "per": "month"}


async def spent(sim: Simulator, folder: Path, calls: int = 0) -> tuple[int, Daemon]:
    """Return what is spent after so many calls of a daemon that has ended, and the daemon."""
    async with served(sim, LIMIT, folder=folder) as (daemon, caller):
        for _ in range(calls):
            await caller.Generate(ASK)
        found: int = (await accounts(daemon))["all"]["spent"]
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended() == 0
        return found, daemon


def rename_format(folder: Path, name: bytes) -> None:
    """Have the ledger's file say that its format is another one."""
    with lmdb.open(str(folder / "ledger"), max_dbs=8, lib_version=0) as env:
        about = env.open_db(b"about")
        with env.begin(about, write=True) as txn:
            txn.put(b"format", name)


async def test_a_copy_of_the_folder_goes_on(tmp_path: Path) -> None:
    """With what was spent when it was made, and not with what was spent since."""
    folder, copy = tmp_path / "data", tmp_path / "copy/ledger"
    async with Simulator() as sim:
        assert (await spent(sim, folder, 2))[0] == 2
        copy.mkdir(parents=True)
        shutil.copy2(folder / "ledger/data.mdb", copy)
        assert (await spent(sim, folder, 1))[0] == 3
        assert (await spent(sim, copy.parent))[0] == 2


async def test_a_ledger_of_another_format_waits_aside(tmp_path: Path) -> None:
    """Budgets begin anew, which is said; the file can be put back for the version that wrote it."""
    async with Simulator() as sim:
        await spent(sim, tmp_path, 2)
        rename_format(tmp_path, b"ledger 99")
        count, daemon = await spent(sim, tmp_path, 1)
        assert count == 1
        told = await daemon.logged("ledger file set aside")
        assert "ledger 99" in told["why"]
        data = tmp_path / "ledger/data.mdb"
        Path(told["file"]).rename(data)
        rename_format(tmp_path, FORMAT)  # Which makes this one the version that wrote it.
        assert (await spent(sim, tmp_path))[0] == 2
