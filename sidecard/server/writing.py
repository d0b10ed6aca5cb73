"""A call's first message, written whole.

gRPC sends the initial metadata with it. Of a write that was cut it doesn't note that they have
gone: the status that follows would send them again, which is refused, and the caller heard nothing.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final

_PATIENCE_S: Final = 0.5
"""How long a caller who doesn't read may hold up the end of its call."""


async def first(writing: Awaitable[None]) -> None:
    """Have it written; a cancellation waits until it has been, or for half a second."""
    task = asyncio.ensure_future(writing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=_PATIENCE_S)
        raise
    finally:
        task.cancel()
