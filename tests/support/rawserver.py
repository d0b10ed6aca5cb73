"""A server that says on the wire just what a test wants, and sees what becomes of its connections.

The simulator speaks HTTP as it should be; this one is for everything else.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

TLS = Path(__file__).parent / "tls"
"""A certificate for 127.0.0.1 that nobody has signed, and its key."""

Handle: TypeAlias = Callable[["Connection"], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """A request as it came; header names in lower case."""

    line: str
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Connection:
    """One connection, from the server's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[Request]

    async def head(self) -> tuple[str, dict[str, str]]:
        """Read a request's head alone; raises IncompleteReadError when there is none."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        pairs = [line.partition(":") for line in lines if line]
        return first, {name.lower(): value.strip() for name, _, value in pairs}

    async def request(self) -> Request:
        """Read one whole request."""
        line, headers = await self.head()
        content = await self.reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(line, headers, content)
        self.requests.append(request)
        return request

    async def begin(self, status: int = 200, size: int | None = None, **headers: str) -> None:
        """Send the head of an answer; without a size its body comes in chunks."""
        body = "transfer-encoding: chunked" if size is None else f"content-length: {size}"
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([f"HTTP/1.1 {status} Said", body, *lines, "", ""]).encode())

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body; an empty one ends it."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer."""
        await self.begin(status, len(body), **headers)
        await self.send(body)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def closed(self) -> None:
        """Wait until the other side has closed or reset the connection."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass


@dataclass
class RawServer:
    """What the server saw."""

    port: int
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    accepted: int = 0
    open: int = 0

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@asynccontextmanager
async def raw_server(handle: Handle, *, tls: bool = False) -> AsyncIterator[RawServer]:
    """Serve every connection with `handle`, which may return at any time."""
    context = server_tls() if tls else None
    server = RawServer(0, "https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.accepted += 1
        server.open += 1
        try:
            await handle(Connection(reader, writer, server.requests))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # The other side left, or the test is over.
        finally:
            server.open -= 1
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    return context


def client_tls() -> ssl.SSLContext:
    """Return a context that trusts the server of `raw_server(…, tls=True)`."""
    return ssl.create_default_context(cafile=str(TLS / "certificate.pem"))


def unused_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def answers(connection: Connection) -> None:
    """Answer every request with an empty object, as long as the connection lives."""
    while True:
        await connection.request()
        await connection.answer(200, b"{}", content_type="application/json")
