"""The admin server against those who mean no good, or do none: over real sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sidecard.core.jsonio import JsonObject
from sidecard.core.ledger import UsageQuery, Used
from sidecard.server import admin
from sidecard.server.address import AddressError
from sidecard.server.admin import AdminServer
from tests.support.told import told

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AdminServer]:
    server = AdminServer("127.0.0.1:0", told())
    await server.start()
    yield server
    await server.stop()


def place(server: AdminServer) -> tuple[str, int]:
    host, _, port = server.address.rpartition(":")
    return host, int(port)


async def send(server: AdminServer, request: bytes) -> bytes:
    """Return all that comes until the server closes."""
    reader, writer = await asyncio.open_connection(*place(server))
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nCookie: TOPSECRET" + b"x" * 9_000,
        b"GET /TOPSECRET" + b"x" * 9_000,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 100 + b"\r\n",
        b"TOPSECRET\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03TOPSECRET",
    ],
    ids=["two hosts", "long field", "long path", "many fields", "no HTTP", "TLS"],
)
async def test_nonsense_is_refused_in_silence(
    server: AdminServer, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    """It gets 400 and is no matter for the log: nobody writes there by sending bytes."""
    caplog.set_level(logging.DEBUG)
    assert b" 400 Bad Request" in await send(server, request_)
    assert b" 200 OK" in await send(server, HEALTH)
    assert "TOPSECRET" not in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_old_probes_send_no_host(server: AdminServer) -> None:
    """HTTP/1.0 has none; browsers, who could be tricked, always send one."""
    assert b" 200 OK" in await send(server, b"GET /healthz HTTP/1.0\r\n\r\n")


async def test_who_is_slow_is_cut(server: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that doesn't come to its end holds its connection for a while only."""
    monkeypatch.setattr(admin, "_LONGEST_S", 0.05)
    assert await send(server, b"GET /healthz HTTP/1.1\r\nHost: loc") == b""


async def test_of_too_many_the_oldest_goes(
    server: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle connections can't keep a probe out."""
    monkeypatch.setattr(admin, "_CONNECTIONS", 3)
    idle = [await asyncio.open_connection(*place(server)) for _ in range(3)]
    assert b" 200 OK" in await send(server, HEALTH)
    async with asyncio.timeout(5):
        assert await idle[0][0].read() == b""
    assert not idle[2][0].at_eof()
    for _, writer in idle:
        writer.close()


async def test_a_burst_of_connections_is_no_way_around(
    server: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that come in one turn of the loop count, too."""
    monkeypatch.setattr(admin, "_CONNECTIONS", 3)
    many = await asyncio.gather(*[asyncio.open_connection(*place(server)) for _ in range(40)])
    assert b" 200 OK" in await send(server, HEALTH)
    async with asyncio.timeout(5):
        # Of these and the one that was answered two are left.
        gone = asyncio.as_completed([reader.read() for reader, _ in many])
        assert [await next(gone) for _ in range(37)] == [b""] * 37
    for _, writer in many:
        writer.close()


async def test_a_connection_is_closed_after_its_answer(server: AdminServer) -> None:
    """One request each, also for those that would send more; and no cache keeps the answer."""
    answer = await send(server, HEALTH + HEALTH)
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"\r\nConnection: close\r\n" in answer
    assert b"\r\ncache-control: no-store\r\n" in answer
    assert b"aiohttp" not in answer


async def test_a_page_that_fails_is_told_in_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug in one page leaves the others, and the traceback is not for the one who asks."""

    def fails() -> JsonObject:
        raise ZeroDivisionError("TOPSECRET")

    server = AdminServer("127.0.0.1:0", told(fails))
    await server.start()
    failed = await send(server, HEALTH.replace(b"healthz", b"status.json"))
    healthy = await send(server, HEALTH)
    await server.stop()
    assert b" 500 " in failed
    assert b"TOPSECRET" not in failed
    assert b" 200 OK" in healthy
    assert [record.message for record in caplog.records] == ["a page failed"]


async def test_nobody_sums_up_for_those_who_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use that takes too long is told as such, and given up: a disk may be stuck."""
    monkeypatch.setattr(admin, "_USAGE_S", 0.05)
    asked: list[str] = []

    async def usage(_: UsageQuery) -> list[Used]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            asked.append("given up")
            raise
        return []

    server = AdminServer("127.0.0.1:0", told(usage=usage))
    await server.start()
    answer = await send(server, HEALTH.replace(b"healthz", b"usage.json"))
    await server.stop()
    assert b" 503 " in answer
    assert b"the ledger can't be read: it takes longer than 0.05 s" in answer
    assert asked == ["given up"]


async def test_an_address_of_another_machine_is_told() -> None:
    """As what it is, not as one in use."""
    server = AdminServer("192.0.2.1:0", told())
    with pytest.raises(AddressError, match=r"listen\.admin.*no address of this machine"):
        await server.start()
    await server.stop()
