"""Measure what a read of the cache takes while none of its file is in memory.

    python -m scripts.cold_reads [FOLDER] [ENTRIES] [READS]

Writes so many answers of 1 to 20 kB into a new file below FOLDER, which must be on a disk,
has the kernel forget it, and reads some at random, as the event loop does;
then the same ones again. `docs/operation.md` has what it printed.
"""

import asyncio
import os
import random
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from sidecard.core.clock import SystemClock
from sidecard.core.store import KEY_BYTES, Entry
from sidecard.store.disk import DiskStore
from sidecard.store.environment import DATA
from sidecard.store.keeper import Pace
from sidecard.store.shelf import Shelf

MAX_BYTES: Final = 8 << 30
_AT_ONCE: Final = 200
_SHARES: Final = (0.5, 0.9, 0.99, 0.999)


async def fill(folder: Path, count: int) -> list[bytes]:
    """Return the keys of what was written."""
    store = DiskStore(
        folder,
        max_bytes=MAX_BYTES,
        clock=SystemClock(),
        say=lambda _: None,
        pace=Pace(gather_s=0.0),
    )
    await store.flush()
    keys = [os.urandom(KEY_BYTES) for _ in range(count)]
    for at, key in enumerate(keys):
        value = os.urandom(random.choice((1_000, 2_000, 5_000, 20_000)))  # noqa: S311
        store.put(key, Entry(value, "default", "default", 0.0, 1e10))
        if at % _AT_ONCE == 0:
            await store.flush()
    await store.flush()
    held = store.stats().entries
    await store.aclose()
    if held != count:
        raise RuntimeError(f"of {count:,} entries {held:,} were written")
    return keys


def forget(file: Path) -> None:
    """Have the kernel drop the file's pages; nothing may have it mapped."""
    with file.open("rb+") as data:
        os.fsync(data.fileno())
        os.posix_fadvise(data.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(shelf: Shelf, keys: Sequence[bytes]) -> list[int]:
    """Return how long each read took, in nanoseconds."""
    took = []
    for key in keys:
        began = perf_counter_ns()
        record = shelf.read(key)
        took.append(perf_counter_ns() - began)
        if record is None:
            raise RuntimeError("an entry isn't there")
    return took


def told(what: str, took: Sequence[int], faults: int) -> str:
    """Return a line of the table."""
    order = sorted(took)
    shown = [f"{order[int(share * (len(order) - 1))] / 1e3:9,.0f}" for share in _SHARES]
    return f"{what:5}{''.join(shown)}{order[-1] / 1e3:9,.0f}{faults / len(took):9.1f}"


def main(folder: str = ".", entries: int = 100_000, reads: int = 2_000) -> int:
    """Print the table; return 1 where nothing was cold."""
    with tempfile.TemporaryDirectory(prefix="cold-reads-", dir=folder) as made:
        own = Path(made)
        keys = asyncio.run(fill(own, entries))
        size = (own / DATA).stat().st_size
        print(
            f"{entries:,} entries, {size:,} bytes; microseconds a read, and faults that read a disk"
        )
        print(f"     {''.join([f'{share:>9.1%}' for share in _SHARES])}      most   faults")
        forget(own / DATA)
        shelf, some = Shelf(own, map_bytes=MAX_BYTES), random.sample(keys, reads)
        cold = 0
        for what in ("cold", "warm"):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
            took = read(shelf, some)
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before
            cold = max(cold, faults)
            print(told(what, took, faults))
        shelf.close()
    if cold < reads / 2:
        print(f"nothing was cold: {folder} is on no disk, or its pages couldn't be dropped")
        return 1
    return 0


if __name__ == "__main__":
    where, *numbers = sys.argv[1:4] or ["."]
    sys.exit(main(where, *[int(number) for number in numbers]))
