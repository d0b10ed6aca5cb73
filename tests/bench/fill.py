"""Fill a store with answers that nobody asks for: `python -m tests.bench.fill FOLDER COUNT`.

With the store's own code, so that the file is what a daemon would have written.
"""

import asyncio
import os
import sys
from pathlib import Path
from time import time
from typing import Final

from sidecard.core.clock import SystemClock
from sidecard.core.store import KEY_BYTES, Entry
from sidecard.policy.answer import Answer, pack
from sidecard.store.disk import DiskStore
from sidecard.store.keeper import Pace
from tests.bench.questions import MESSAGE

MAX_BYTES: Final = 4_000_000_000
_AT_ONCE: Final = 4_000
_DAY_S: Final = 86_400.0


async def fill(folder: Path, count: int) -> int:
    """Write so many, and return how many the store holds."""
    value = pack(Answer(MESSAGE, "claude-sonnet-5-5", degraded=False))
    assert value is not None
    now, pace = time(), Pace(gather_s=0.0)
    store = DiskStore(
        folder, max_bytes=MAX_BYTES, clock=SystemClock(), say=lambda _: None, pace=pace
    )
    while store.stats().why:  # noqa: ASYNC110  # its own thread opens it, and tells a log
        await asyncio.sleep(0.01)
    for at in range(0, count, _AT_ONCE):
        for _ in range(min(_AT_ONCE, count - at)):
            entry = Entry(value, "default", "default", now, now + _DAY_S)
            store.put(os.urandom(KEY_BYTES), entry)
        await store.flush()
    held = store.stats().entries
    await store.aclose()
    return held


if __name__ == "__main__":
    print(asyncio.run(fill(Path(sys.argv[1]), int(sys.argv[2]))))
