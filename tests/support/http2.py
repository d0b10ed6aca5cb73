"""A caller that speaks HTTP/2 byte by byte, and so can misbehave as no library lets it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL = b"\0\0\0\x08"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GENERATE = "/sidecard.v1.GenerationService/Generate"
STREAM = "/sidecard.v1.GenerationService/StreamGenerate"
_MOST = 16_384
_SHORT = 127


@dataclass(frozen=True)
class Frame:
    """One frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def opened(stream: int, path: str, *more: tuple[str, str]) -> bytes:
    """Return the frames that begin a call."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    )
    block = b"".join([header(*field) for field in fields])
    parts = [block[at : at + _MOST] for at in range(0, len(block), _MOST)]
    kinds = [HEADERS, *[CONTINUATION] * (len(parts) - 1)]
    flags = [*[0] * (len(parts) - 1), END_HEADERS]
    return b"".join(
        [frame(kind, flag, stream, p) for kind, flag, p in zip(kinds, flags, parts, strict=True)]
    )


def header(name: str, value: str) -> bytes:
    """Return a header as it is, in no table (RFC 7541, 6.2.2)."""
    return b"\0" + _text(name) + _text(value)


def message(stream: int, payload: bytes, *, declared: int | None = None) -> bytes:
    """Return a request's frame, the last one unless more bytes are `declared` than there are."""
    size = len(payload) if declared is None else declared
    end = END_STREAM if declared is None else 0
    return frame(DATA, end, stream, b"\0" + size.to_bytes(4, "big") + payload)


def streams(number: int) -> range:
    """Return the ids that a client gives."""
    return range(1, 2 * number, 2)


def _text(text: str) -> bytes:
    """Return a string of HPACK, as it is (RFC 7541, 5.1 and 5.2)."""
    value = text.encode()
    size = len(value)
    if size < _SHORT:
        return bytes([size]) + value
    length, rest = [_SHORT], size - _SHORT
    while rest >= 128:
        length.append(rest % 128 | 128)
        rest //= 128
    return bytes([*length, rest]) + value


class Connection:
    """A connection to a server, over which frames are sent and read as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def frames(self, timeout_s: float = 5.0) -> AsyncIterator[Frame]:
        """Yield what comes, until the server closes; raises TimeoutError."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                async with asyncio.timeout(timeout_s):
                    head = await self._reader.readexactly(9)
                    payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                yield Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), payload)

    async def until(self, kind: int) -> Frame:
        """Return the first frame of a kind; an end before it is an error."""
        async for found in self.frames():
            if found.kind == kind:
                return found
        raise AssertionError(f"closed without a frame {kind}")

    async def trailers(self, stream: int) -> bytes:
        """Return the headers that end a call."""
        async for found in self.frames():
            if (found.kind, found.stream) == (HEADERS, stream) and found.flags & END_STREAM:
                return found.payload
            if (found.kind, found.stream) == (RST_STREAM, stream):
                raise AssertionError(f"reset: {found}")
        raise AssertionError("closed without an end")

    async def closed(self, timeout_s: float = 5.0) -> list[Frame]:
        """Return what came until the server closed; raises TimeoutError."""
        return [found async for found in self.frames(timeout_s)]

    def abort(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def silent(address: str) -> AsyncIterator[Connection]:
    """Connect and say nothing."""
    host, _, port = address.rpartition(":")
    connection = Connection(*await asyncio.open_connection(host, int(port)))
    try:
        yield connection
    finally:
        connection.abort()


@contextlib.asynccontextmanager
async def settled(
    address: str, *, confirms: bool = True, window_bytes: int = 65_535
) -> AsyncIterator[Connection]:
    """Connect and exchange settings; who doesn't `confirm` isn't held to the server's yet.

    `window_bytes`: how much of an answer the caller takes.
    """
    async with silent(address) as connection:
        window = b"\0\x04" + window_bytes.to_bytes(4, "big")
        await connection.send(PREFACE + frame(SETTINGS, 0, 0, window))
        await connection.until(SETTINGS)
        if confirms:
            # The confirmation has arrived when what comes after it is answered.
            confirmation = frame(SETTINGS, ACK, 0) + frame(PING, 0, 0, b"12345678")
            await connection.send(confirmation)
            await connection.until(PING)
        yield connection
