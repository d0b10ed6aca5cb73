"""A client of the mock with nothing between: the latency that is the upstream's own."""

import asyncio
from time import perf_counter_ns
from typing import Final, cast

from tests.bench import payload

_FIRST_DELTA: Final = b"text_delta"


class Direct(asyncio.Protocol):
    """One connection, one request at a time. Knows how long the mock's answers are."""

    def __init__(self) -> None:
        self._received = b""
        self._size = 0
        self._first_at = 0
        self._done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it.

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._first_at and _FIRST_DELTA in self._received:
            self._first_at = perf_counter_ns()
        if len(self._received) >= self._size:
            self._done.set_result(perf_counter_ns())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the mock closed"))
            self._done.exception()  # Told already, where nobody waits any more.

    async def unary(self) -> int:
        """Return the nanoseconds to a whole unstreamed answer."""
        began = perf_counter_ns()
        return await self._ask(_UNARY_REQUEST, _UNARY_SIZE) - began

    async def first(self) -> int:
        """Return the nanoseconds to the first delta of a paced stream, having read all of it."""
        began = perf_counter_ns()
        await self._ask(_PACED_REQUEST, _PACED_SIZE)
        return self._first_at - began

    async def _ask(self, request: bytes, size: int) -> int:
        self._received, self._size, self._first_at = b"", size, 0
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._done

    def close(self) -> None:
        """Leave."""
        self._done.cancel()
        self._transport.close()


async def connect(port: int) -> Direct:
    """Return a client of the mock at `port`."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Direct, "127.0.0.1", port)
    return client


def _request(prompt: str, *, stream: bool) -> bytes:
    body = payload.request(prompt, stream=stream)
    head = f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_UNARY_REQUEST: Final = _request(payload.PLAIN, stream=False)
_PACED_REQUEST: Final = _request(payload.PACED, stream=True)
_UNARY_SIZE: Final = len(payload.unary())
_PACED_SIZE: Final = len(payload.stream(payload.PACED_DELTAS))
