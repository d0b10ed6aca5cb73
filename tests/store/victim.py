"""A process that writes entries until it is killed.

Every entry can be told from its key, so whoever looks knows what is right without being told.
"""

import asyncio
import random
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

from sidecard.core.clock import SystemClock
from sidecard.core.store import Entry
from sidecard.store.cipher import Cipher
from sidecard.store.disk import DiskStore
from sidecard.store.keeper import Pace

MAX_BYTES = 4 << 20
KEYS = 1_000


@lru_cache(None)
def key_of(number: int) -> bytes:
    return random.Random(number).randbytes(32)  # noqa: S311


@lru_cache(None)
def entry_of(number: int, version: int) -> Entry:
    """Return an entry that carries its own number and version all through."""
    chance = random.Random(f"{number} {version}")  # noqa: S311
    head = b"%d %d " % (number, version)
    body = chance.randbytes(chance.choice((50, 500, 3_000, 20_000)))
    return Entry(head + body, f"tenant {number % 5}", "default", 1e9, 4e9)


def main(folder: Path, seed: int, key_file: Path | None, opened: Connection) -> None:
    """Write as the seed says, after having told that the store is open."""
    cipher = None if key_file is None else Cipher(key_file)
    asyncio.run(_write(folder, random.Random(seed), cipher, opened))  # noqa: S311


async def _write(
    folder: Path, chance: random.Random, cipher: Cipher | None, opened: Connection
) -> None:
    store = DiskStore(
        folder,
        max_bytes=MAX_BYTES,
        clock=SystemClock(),
        say=lambda _: None,
        cipher=cipher,
        pace=Pace(gather_s=0.001, tidy_s=0.01, touch_s=0.01),
    )
    await store.flush()
    opened.send_bytes(b"open")
    while True:
        for _ in range(chance.randrange(1, 12)):
            number = chance.randrange(KEYS)
            store.put(key_of(number), entry_of(number, chance.randrange(3)))
        store.get(key_of(chance.randrange(KEYS)), 2e9)
        await store.flush()
