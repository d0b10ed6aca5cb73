"""What the bench's own servers have in common."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import uvloop


def serve_until_stdin_ends(start: Callable[[int], Awaitable[object]]) -> None:
    """Start a server on the port that the first argument names, and keep it.

    Standard input is a pipe from the bench, so that it ends however the bench does.
    """

    async def serve() -> None:
        ended = asyncio.Event()
        server = await start(int(sys.argv[1]))
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: _Ending(ended), sys.stdin)
        await ended.wait()
        del server  # Kept till here, as gRPC stops a server that nobody refers to.

    uvloop.run(serve())


class _Ending(asyncio.Protocol):
    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended.set()
