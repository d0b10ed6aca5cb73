"""The drop-in endpoint and callers that send slowly, halfway, or too many at once."""

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecard.config.listen import Listen
from sidecard.core.call import Call, Route
from sidecard.core.clock import SystemClock
from sidecard.core.event import Batch, Delta
from sidecard.core.reply import Reply
from sidecard.server.http import server as http
from sidecard.server.http.decode import Decoder
from sidecard.server.memory import Memory
from tests.support.script import CLOSING, OPENING, TARGET, WHOLE, Script
from tests.support.simulator import until

ASKED = {"model": "default", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASKED)
HEAD = "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def serving(
    answer: tuple[Batch, ...] = WHOLE,
    memory: Memory | None = None,
    /,
    *,
    total_s: float = 60.0,
    **bounds: float,
) -> AsyncIterator[http.HttpServer]:
    script = Script(*[answer] * 10)

    async def stack(call: Call) -> Reply:
        return await script(call)

    async def count(_: Call) -> int:
        return 1

    server = http.HttpServer(
        "127.0.0.1:0",
        stack,
        count=count,
        decoder=Decoder(routes={"default": Route("default", (TARGET,), 1_024)}, allowed_models=()),
        clock=SystemClock(),
        sink=lambda *_: None,
        total_s=total_s,
        listen=Listen.model_validate({"max_message_bytes": 10_000, **bounds}),
        memory=memory,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@asynccontextmanager
async def connection(
    server: http.HttpServer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(server: http.HttpServer, payload: bytes) -> str:
    """Send something, and return all that is answered until the connection is closed."""
    async with connection(server) as (reader, writer), asyncio.timeout(5):
        writer.write(payload)
        return (await reader.readuntil(b"request_id")).decode()


@pytest.mark.parametrize("cut", ["cap", "deadline"])
async def test_a_body_that_does_not_come_is_not_waited_for(cut: str) -> None:
    """It ends at the cap for bodies, or at the call's own time if that is sooner."""
    bounds = {"body_s": 0.1} if cut == "cap" else {"total_s": 0.1}
    async with (
        serving(**bounds) as server,
        connection(server) as (reader, writer),
        asyncio.timeout(5),
    ):
        writer.write(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
        told = (await reader.readuntil(b"request_id")).decode()
        assert told.startswith("HTTP/1.1 504 ")
        assert "body didn't come in time" in told


async def test_without_memory_only_the_first_is_taken() -> None:
    """Another is refused while that one runs, in the API's own form, its body unread."""
    request = f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n".encode()
    memory = Memory(1_000, clock=SystemClock(), used=lambda: 5_000)
    async with (
        serving(WHOLE, memory) as server,
        connection(server) as (reader, writer),
        asyncio.timeout(5),
    ):
        writer.write(request)
        await asyncio.sleep(0.1)
        told = await said(server, request)
        assert told.startswith("HTTP/1.1 529 ")
        assert "overloaded_error" in told
        writer.write(BODY.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("sent", "bound"),
    [("", "idle_s"), ("", "age_s"), (HEAD, "handshake_s"), (HEAD[:20], "handshake_s")],
)
async def test_a_connection_that_says_nothing_is_closed(sent: str, bound: str) -> None:
    """Nothing, or the beginning of a request: it doesn't stay for ever."""
    async with (
        serving(**{bound: 0.1}) as server,
        connection(server) as (reader, writer),
        asyncio.timeout(5),
    ):
        writer.write(sent.encode())
        assert await reader.read() == b""


@pytest.mark.parametrize("how", ["whole", "stream", "many"])
async def test_who_takes_no_answer_is_cut(how: str) -> None:
    """A large answer, whole or as it comes, or those of many requests: none waits to be taken."""
    asked = {**ASKED, "stream": how == "stream"}
    body = json.dumps(asked)
    request = f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    text = "x" * (800_000 if how == "many" else 8_000_000)
    large = (OPENING, (Delta(0, {"type": "text_delta", "text": text}),), CLOSING)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.settimeout(0)
        async with serving(large, total_s=0.2) as server:
            host, _, port = server.address.rpartition(":")
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, (host, int(port)))
            await loop.sock_sendall(slow, request * (10 if how == "many" else 1))
            await until(lambda: _connections(server) == 1)
            await until(lambda: _connections(server) == 0)


def _connections(server: http.HttpServer) -> int:
    assert server._server is not None
    return len(server._server.connections)


async def test_a_body_is_no_head() -> None:
    """What comes before the server has begun with a request isn't counted among its headers."""
    body = json.dumps({**ASKED, "messages": [{"role": "user", "content": "x" * 9_000}]})
    head = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode()
    async with serving(header_bytes=1_024) as server:
        for turns in range(8):
            async with connection(server) as (reader, writer), asyncio.timeout(5):
                writer.write(head)
                for _ in range(turns):
                    await asyncio.sleep(0)
                writer.write(body.encode())
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_a_slow_head_counts_from_its_own_beginning() -> None:
    """Not from the connection's: who asks again after a while has its time, and no more."""
    request = f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
    async with (
        serving(handshake_s=0.1) as server,
        connection(server) as (reader, writer),
        asyncio.timeout(5),
    ):
        for _ in range(2):
            await asyncio.sleep(0.15)
            writer.write(request[:30])
            await asyncio.sleep(0)
            writer.write(request[30:])
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}}")
        writer.write(request[:30])
        await reader.read()


async def test_a_head_does_not_grow_without_end() -> None:
    """Each header may be short: it is their sum that is bounded."""
    async with (
        serving(header_bytes=1_024) as server,
        connection(server) as (reader, writer),
        asyncio.timeout(5),
    ):
        writer.write(HEAD.encode())
        with contextlib.suppress(ConnectionError):
            for number in range(8):
                writer.write(f"x-{number}: {'y' * 700}\r\n".encode())
                await asyncio.sleep(0.01)
            assert await reader.read() == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"TOPSECRET\r\n\r\n",
        f"{HEAD}X: {'TOPSECRET' * 3_000}\r\n\r\n".encode(),
        f"{HEAD}Content-Length: TOPSECRET\r\n\r\n".encode(),
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\nTOPSECRET\r\n".encode(),
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03TOPSECRET",
    ],
    ids=["no HTTP", "long header", "length", "chunk", "TLS"],
)
async def test_what_is_no_request_is_refused_in_the_apis_form(sent: bytes) -> None:
    """With nothing of it repeated, and nothing told of what serves here."""
    async with serving() as server, connection(server) as (reader, writer), asyncio.timeout(5):
        writer.write(sent)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert json.loads(body)["error"]["type"] == "invalid_request_error"
        assert head.split(b" ")[1] == b"400"
        assert not [word for word in (b"TOPSECRET", b"aiohttp", b"Python") if word in head + body]


async def test_one_connection_too_many_is_closed() -> None:
    """Those that are there are served on."""
    request = f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
    async with (
        serving(connections=2) as server,
        connection(server) as (first, writer),
        connection(server) as (_, second),
        asyncio.timeout(5),
    ):
        second.write(b"POST")
        await asyncio.sleep(0.05)
        async with connection(server) as (third, _):
            with contextlib.suppress(ConnectionResetError):
                assert await third.read() == b""
        writer.write(request)
        assert (await first.readline()).startswith(b"HTTP/1.1 200")


async def test_a_body_that_is_not_what_its_headers_say() -> None:
    """It is the caller's mistake, named as that; and a small one that grows is bounded."""
    async with serving() as server:
        headers = f"{HEAD}Content-Encoding: gzip\r\n"
        broken = f"{headers}Content-Length: 5\r\n\r\n{{}}}}}}".encode()
        assert "isn't what its headers say" in await said(server, broken)
        bomb = gzip.compress(b" " * 5_000_000) + b"}"
        grown = f"{headers}Content-Length: {len(bomb) - 1}\r\n\r\n".encode() + bomb
        assert "body size: is over" in await said(server, grown)
