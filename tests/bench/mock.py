"""The mock upstream: prebuilt bytes for each way of asking, and next to no work of its own.

`python -m tests.bench.mock PORT`; ends with its standard input.
"""

import asyncio
from typing import Final, cast

from tests.bench import payload
from tests.bench.child import serve_until_stdin_ends

_UNARY: Final = payload.unary()
_STREAM: Final = payload.stream(payload.DELTAS)
_BURST: Final = payload.stream(payload.BURST_DELTAS)
_PREAMBLE: Final = payload.STREAM_HEAD + payload.preamble()
_DELTA: Final = payload.delta()
_ENDING: Final = payload.ending()
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_PACE_S: Final = 0.001
_WAITS: Final = b"[waits "
_WAITS_DIGITS: Final = 5


class Mock(asyncio.Protocol):
    """One connection, kept alive; requests come one after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it.

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_size = received.find(_HEAD_END)
        if head_size < 0 or len(received) < head_size + 4 + _length(received[:head_size]):
            self._received = received
            return
        self._received = b""
        self._answer(received)

    def _answer(self, request: bytes) -> None:
        if b'"stream":true' not in request and b'"stream": true' not in request:
            self._answer_whole(request)
        elif b"[burst]" in request:
            self._transport.write(_BURST)
        elif b"[paced]" in request:
            self._transport.write(_PREAMBLE)
            self._loop.call_soon(self._pace, payload.PACED_DELTAS)
        elif b"[held]" in request:
            self._transport.write(_PREAMBLE + _DELTA)
        else:
            self._transport.write(_STREAM)

    def _answer_whole(self, request: bytes) -> None:
        at = request.find(_WAITS)
        if at < 0:
            self._transport.write(_UNARY)
            return
        begin = at + len(_WAITS)
        wait_s = int(request[begin : begin + _WAITS_DIGITS]) / 1e3
        self._loop.call_later(wait_s, self._write, _UNARY)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _pace(self, left: int) -> None:
        if not left:
            self._transport.write(_ENDING)
            return
        self._transport.write(_DELTA)
        self._loop.call_later(_PACE_S, self._pace, left - 1)


def _length(head: bytes) -> int:
    """Return the size of the body that follows a head, in bytes."""
    lower = head.lower()
    at = lower.find(_LENGTH)
    return int(lower[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def _serve(port: int) -> None:
    await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port, backlog=2048)


if __name__ == "__main__":
    serve_until_stdin_ends(_serve)
