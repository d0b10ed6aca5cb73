"""What every transport promises about connections: reused, given back, closed, never leaked."""

import asyncio
import time

import pytest

from sidecard.upstream import direct, sdk
from sidecard.upstream.transport import Phase, TransportFault
from tests.support.rawserver import Connection, answers, client_tls, raw_server
from tests.support.simulator import until
from tests.support.transports import BODY, KINDS, PATH, opened, whole

pytestmark = pytest.mark.parametrize("kind", KINDS)

AT_ONCE_S = 0.1


async def test_connections_are_kept(kind: str) -> None:
    """Calls one after the other share a connection; it ends with the transport."""
    async with raw_server(answers) as server:
        async with opened(kind, server.base_url) as transport:
            for _ in range(3):
                await whole(await transport.send(PATH, BODY))
            assert (server.accepted, server.open) == (1, 1)
            assert (transport.connections, transport.busy) == (1, 0)
        await until(lambda: server.open == 0)
        assert transport.connections == 0


async def test_many_calls_run_at_once(kind: str) -> None:
    """No cap on connections makes a call wait: 150 answers are open at the same time."""
    everyone = asyncio.Barrier(150)

    async def together(connection: Connection) -> None:
        await connection.request()
        await everyone.wait()
        await connection.answer(200, b"{}")

    async with raw_server(together) as server, opened(kind, server.base_url) as transport:
        assert transport.connections == 0
        responses = await asyncio.gather(*[transport.send(PATH, BODY) for _ in range(150)])
        assert (transport.connections, transport.busy) == (150, 150)
        assert {await whole(response) for response in responses} == {b"{}"}


async def test_a_connection_that_died_idle_is_not_used(kind: str) -> None:
    """After a restart of the server, a call takes a new connection and doesn't fail."""

    async def once(connection: Connection) -> None:
        await connection.request()
        await connection.answer(200, b"{}")

    async with raw_server(once) as server, opened(kind, server.base_url) as transport:
        for _ in range(3):
            assert await whole(await transport.send(PATH, BODY)) == b"{}"
            await asyncio.sleep(0.02)  # The end of the connection is on its way.
        assert server.accepted == 3


@pytest.mark.parametrize("tls", [False, True])
async def test_a_cancelled_send_closes_its_connection(kind: str, tls: bool) -> None:  # noqa: FBT001
    """Who leaves before the status line takes the connection along, at once."""
    asked = asyncio.Event()
    left = asyncio.Event()

    async def silent(connection: Connection) -> None:
        await connection.request()
        asked.set()
        await connection.closed()
        left.set()

    async with (
        raw_server(silent, tls=tls) as server,
        opened(kind, server.base_url, tls=client_tls()) as transport,
    ):
        sending = asyncio.create_task(transport.send(PATH, BODY))
        await asked.wait()
        began = time.monotonic()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await left.wait()
        assert time.monotonic() - began < AT_ONCE_S


@pytest.mark.parametrize("tls", [False, True])
async def test_an_abandoned_answer_closes_its_connection(kind: str, tls: bool) -> None:  # noqa: FBT001
    """A cancelled read and the close after it reach the server at once; both may be repeated."""
    left = asyncio.Event()

    async def endless(connection: Connection) -> None:
        await connection.request()
        await connection.begin()
        await connection.chunk(b"one")
        await connection.closed()
        left.set()

    async with (
        raw_server(endless, tls=tls) as server,
        opened(kind, server.base_url, tls=client_tls()) as transport,
    ):
        response = await transport.send(PATH, BODY)
        assert await response.read() == b"one"
        reading = asyncio.create_task(response.read())
        await asyncio.sleep(0)
        began = time.monotonic()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await response.aclose()
        await response.aclose()
        await left.wait()
        assert time.monotonic() - began < AT_ONCE_S


async def test_an_answer_that_floods_is_cut_off(kind: str) -> None:
    """A server that sends without end is stopped by the close, also when nobody reads."""
    left = asyncio.Event()

    async def flood(connection: Connection) -> None:
        await connection.request()
        await connection.begin()
        try:
            while True:
                await connection.chunk(b"x" * 65_536)
        except ConnectionError:
            left.set()

    async with (
        raw_server(flood, tls=True) as server,
        opened(kind, server.base_url, tls=client_tls()) as transport,
    ):
        response = await transport.send(PATH, BODY)
        await asyncio.sleep(0.05)
        await response.aclose()
        async with asyncio.timeout(1):
            await left.wait()


async def test_a_finished_answer_gives_its_connection_back(kind: str) -> None:
    """Where only the body's end is missing, it is awaited in the background and reused."""
    end = asyncio.Event()

    async def tardy(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.begin()
            await connection.chunk(b"message_stop")
            await end.wait()
            await connection.chunk(b"")

    async with raw_server(tardy) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        assert await response.read() == b"message_stop"
        await response.aclose(finished=True)
        end.set()
        await until(lambda: ", 0 open" in repr(transport))
        await asyncio.sleep(0.02)
        assert await whole(await transport.send(PATH, BODY)) == b"message_stop"
        assert server.accepted == 1


async def test_a_finished_answer_without_an_end_is_closed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body whose end never comes holds its connection for a moment only."""
    monkeypatch.setattr(direct, "_END_S", 0.02)
    monkeypatch.setattr(sdk, "_END_S", 0.02)
    left = asyncio.Event()

    async def unending(connection: Connection) -> None:
        await connection.request()
        await connection.begin()
        await connection.chunk(b"message_stop")
        await connection.closed()
        left.set()

    async with raw_server(unending) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        assert await response.read() == b"message_stop"
        await response.aclose(finished=True)
        async with asyncio.timeout(1):
            await left.wait()


async def test_a_slow_reader_slows_the_server(kind: str) -> None:
    """What isn't read stays at the server, but for the sockets' buffers; reading lets more come."""
    sent = 0

    async def generous(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.begin(200, 2**30)
        while True:
            await connection.send(b"x" * 65_536)
            sent += 65_536

    async with raw_server(generous) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        held = -1
        while sent != held:
            held = sent
            await asyncio.sleep(0.05)
        assert held < 2**24
        read = 0
        while read < held:
            read += len(await response.read())
        await until(lambda: sent > held)
        await response.aclose()


async def test_closing_ends_what_is_open(kind: str) -> None:
    """Closing the transport ends answers that are still read, with a fault, and leaves nothing."""

    async def endless(connection: Connection) -> None:
        await connection.request()
        await connection.begin()
        await connection.chunk(b"one")
        await connection.closed()

    async with raw_server(endless) as server:
        async with opened(kind, server.base_url) as transport:
            response = await transport.send(PATH, BODY)
            assert await response.read() == b"one"
            assert ", 1 open" in repr(transport)
            reading = asyncio.create_task(response.read())
            await asyncio.sleep(0)
        with pytest.raises(TransportFault) as fault:
            await asyncio.wait_for(reading, timeout=1)
        assert fault.value.phase is Phase.READ
        await response.aclose()
        await until(lambda: server.open == 0)


async def test_closing_ends_what_waits_for_an_answer(kind: str) -> None:
    """Closing the transport ends requests without an answer, with a fault, not never."""
    asked = asyncio.Event()

    async def silent(connection: Connection) -> None:
        await connection.request()
        asked.set()
        await connection.closed()

    async with raw_server(silent) as server:
        async with opened(kind, server.base_url) as transport:
            sending = asyncio.create_task(transport.send(PATH, BODY))
            await asked.wait()
        with pytest.raises(TransportFault) as fault:
            await asyncio.wait_for(sending, timeout=1)
        assert fault.value.phase is Phase.SEND
