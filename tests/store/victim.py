"""A process that writes entries until it is killed: `victim.py FOLDER SEED`.

Every entry can be told from its key, so whoever looks knows what is right without being told.
"""

import asyncio
import random
import sys
from pathlib import Path

from sidecard.core.clock import SystemClock
from sidecard.core.store import Entry
from sidecard.store.disk import DiskStore
from sidecard.store.keeper import Pace

MAX_BYTES = 4 << 20
KEYS = 3_000


def key_of(number: int) -> bytes:
    return random.Random(number).randbytes(32)  # noqa: S311


def entry_of(number: int, version: int) -> Entry:
    """Return an entry that carries its own number and version all through."""
    chance = random.Random(f"{number} {version}")  # noqa: S311
    head = b"%d %d " % (number, version)
    body = chance.randbytes(chance.choice((50, 500, 3_000, 20_000)))
    return Entry(head + body, f"tenant {number % 5}", "default", 1e9, 4e9)


async def main(folder: Path, seed: int) -> None:
    pace = Pace(gather_s=0.001, tidy_s=0.01, touch_s=0.01)
    store = DiskStore(
        folder, max_bytes=MAX_BYTES, clock=SystemClock(), say=lambda _: None, pace=pace
    )
    await store.flush()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    chance = random.Random(seed)  # noqa: S311
    while True:
        for _ in range(chance.randrange(1, 12)):
            number = chance.randrange(KEYS)
            store.put(key_of(number), entry_of(number, chance.randrange(3)))
        store.get(key_of(chance.randrange(KEYS)), 2e9)
        await store.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
