"""What every transport promises, whatever the other side does."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sidecard.upstream.keys import FileKey
from sidecard.upstream.transport import Phase, TransportFault
from tests.support.rawserver import Connection, answers, raw_server, unused_port
from tests.support.simulator import until
from tests.support.transports import BODY, KEY, KINDS, PATH, opened, whole

pytestmark = pytest.mark.parametrize("kind", KINDS)

PIECES = [
    b"event: ping\n",
    b"\n",
    "data: grü".encode()[:-1],
    "ü".encode()[1:],
    b"\r\n",
    b"x" * 70_000,
]


async def test_a_request_arrives_as_it_was_asked(kind: str) -> None:
    """Path, JSON, key and version arrive; nothing compressed is asked for, no warning given."""
    async with (
        raw_server(answers) as server,
        opened(kind, f"{server.base_url}/gateway/") as transport,
    ):
        assert await whole(await transport.send(PATH, BODY)) == b"{}"
    (request,) = server.requests
    assert request.line == "POST /gateway/v1/messages HTTP/1.1"
    assert request.json() == {**BODY, "messages": list(BODY["messages"])}
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.headers["user-agent"].startswith("sidecard/")
    sent = request.headers["authorization"]
    assert sent.removeprefix("Bearer ") == KEY


async def test_the_bytes_come_as_they_were_sent(kind: str) -> None:
    """A body in any pieces arrives unchanged, neither decoded nor parsed."""

    async def pieces(connection: Connection) -> None:
        await connection.request()
        await connection.begin(content_type="text/event-stream")
        for piece in [*PIECES, b""]:
            await connection.chunk(piece)
            await asyncio.sleep(0)

    async with raw_server(pieces) as server, opened(kind, server.base_url) as transport:
        assert await whole(await transport.send(PATH, BODY)) == b"".join(PIECES)


async def test_what_has_arrived_is_not_held_back(kind: str) -> None:
    """A read returns with the first bytes, while the rest of the body is still to come."""
    go_on = asyncio.Event()

    async def pausing(connection: Connection) -> None:
        await connection.request()
        await connection.begin()
        await connection.chunk(b"one")
        await go_on.wait()
        await connection.chunk(b"two")
        await connection.chunk(b"")

    async with raw_server(pausing) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        assert await response.read() == b"one"
        go_on.set()
        assert await whole(response) == b"two"


@pytest.mark.parametrize("status", [200, 202, 302, 400, 401, 413, 429, 500, 529])
async def test_every_status_is_an_answer(kind: str, status: int) -> None:
    """Status, headers in any case, and body are handed over; redirects are not followed."""

    async def answer(connection: Connection) -> None:
        await connection.request()
        await connection.answer(
            status, b"said", Retry_After="7", request_id="req_1", location="/elsewhere"
        )

    async with raw_server(answer) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        assert response.status == status
        assert response.headers["retry-after"] == response.headers["Retry-After"] == "7"
        assert response.headers.get("request-id") == "req_1"
        assert await whole(response) == b"said"
    assert len(server.requests) == 1


async def test_a_compressed_answer_is_refused(kind: str) -> None:
    """What would have to be unpacked is a fault, and its connection is closed."""

    async def packed(connection: Connection) -> None:
        await connection.request()
        await connection.answer(200, b"\x1f\x8b", content_encoding="gzip")

    async with raw_server(packed) as server, opened(kind, server.base_url) as transport:
        with pytest.raises(
            TransportFault, match=r"compressed \(gzip\), which was not asked"
        ) as hit:
            await transport.send(PATH, BODY)
        assert hit.value.phase is Phase.READ
        await until(lambda: server.open == 0)


async def test_a_compressed_error_is_still_an_answer(kind: str) -> None:
    """A gateway's compressed error page doesn't hide its status."""

    async def packed(connection: Connection) -> None:
        await connection.request()
        await connection.answer(503, b"\x1f\x8b", content_encoding="gzip")

    async with raw_server(packed) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        assert response.status == 503
        assert await whole(response) == b"\x1f\x8b"


async def test_nobody_listens(kind: str) -> None:
    """A refused connection is a fault of connecting that names the address."""
    port = unused_port()
    async with opened(kind, f"http://127.0.0.1:{port}") as transport:
        with pytest.raises(TransportFault) as refused:
            await transport.send(PATH, BODY)
    assert refused.value.phase is Phase.CONNECT
    assert refused.value.reason == f"no connection to 127.0.0.1:{port}: Connection refused"


async def test_no_such_name(kind: str) -> None:
    """A name that can't be resolved is a fault of connecting that says so."""
    async with opened(kind, "http://upstream.invalid") as transport:
        with pytest.raises(
            TransportFault, match=r"upstream\.invalid:80: the name can't"
        ) as unknown:
            await transport.send(PATH, BODY)
    assert unknown.value.phase is Phase.CONNECT


async def test_connecting_takes_too_long(kind: str) -> None:
    """Where packets vanish, the connect timeout ends the wait and is named."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filling in (first, second):  # The queue is full now, and the kernel answers nobody.
            filling.setblocking(False)  # noqa: FBT003
            filling.connect_ex(deaf.getsockname())
        base_url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        async with opened(kind, base_url, connect_timeout_s=0.1) as transport:
            with pytest.raises(TransportFault, match=r"within 0\.1 s \(timeouts\.conn") as late:
                await transport.send(PATH, BODY)
    assert late.value.phase is Phase.CONNECT


async def _reset(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def _close(connection: Connection) -> None:
    await connection.request()


async def _babble(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"220 mail.example ESMTP\r\n\r\n")


@pytest.mark.parametrize(
    ("handle", "reason"),
    [(_reset, "lost before the answer"), (_close, "lost before the answer"), (_babble, "no HTTP")],
)
async def test_the_connection_ends_before_the_answer(
    kind: str, handle: Callable[[Connection], Coroutine[Any, Any, None]], reason: str
) -> None:
    """A reset, an end and nonsense instead of a status line are faults of sending, not repeated."""
    async with raw_server(handle) as server, opened(kind, server.base_url) as transport:
        with pytest.raises(TransportFault, match=reason) as fault:
            await transport.send(PATH, BODY)
    assert fault.value.phase is Phase.SEND
    assert len(server.requests) == 1


@pytest.mark.parametrize("by_reset", [True, False])
async def test_the_connection_ends_in_the_answer(kind: str, by_reset: bool) -> None:  # noqa: FBT001
    """What came is delivered, and what is missing is a fault of reading, never a clean end."""
    delivered = asyncio.Event()

    async def break_off(connection: Connection) -> None:
        await connection.request()
        await connection.begin()
        await connection.chunk(b"half")
        await delivered.wait()
        if by_reset:
            connection.reset()

    async with raw_server(break_off) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        assert await response.read() == b"half"
        delivered.set()
        with pytest.raises(TransportFault, match="lost in the answer") as fault:
            await response.read()
        assert fault.value.phase is Phase.READ
        await response.aclose()
        await until(lambda: server.open == 0)


async def test_a_large_request_goes_out_whole(kind: str) -> None:
    """A body of several megabytes, as with documents, arrives unharmed and without a warning."""
    body = {**BODY, "messages": [{"role": "user", "content": "ä" * 2_000_000}]}
    async with raw_server(answers) as server, opened(kind, server.base_url) as transport:
        assert await whole(await transport.send(PATH, body)) == b"{}"
    assert server.requests[0].json() == body


async def test_an_answer_may_come_before_the_request_has_gone_out(kind: str) -> None:
    """A server that refuses a body at its first bytes is heard."""

    async def refuse(connection: Connection) -> None:
        await connection.head()
        await connection.answer(413, b"too large", connection="close")
        await connection.closed()

    body = {**BODY, "messages": [{"role": "user", "content": "x" * 20_000_000}]}
    async with raw_server(refuse) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, body)
        assert response.status == 413
        assert await whole(response) == b"too large"


async def test_a_key_replaced_meanwhile_is_used_by_all(kind: str, tmp_path: Path) -> None:
    """Requests that were under way with the old key are all sent again, not the first alone."""
    file = tmp_path / "key"
    file.write_text("old")
    replaced, sent = asyncio.Event(), list[str]()

    async def strict(connection: Connection) -> None:
        while True:
            shown = (await connection.request()).headers["authorization"]
            sent.append(shown)
            if shown == "Bearer old":
                await replaced.wait()
            await connection.answer(401 if shown == "Bearer old" else 200)

    async with (
        raw_server(strict) as server,
        opened(kind, server.base_url, key=FileKey(file)) as transport,
    ):
        asked = [asyncio.create_task(transport.send(PATH, BODY)) for _ in range(2)]
        async with asyncio.timeout(10):
            while len(sent) < 2:  # noqa: ASYNC110  # the server's side
                await asyncio.sleep(0.01)
            file.write_text("new")
            replaced.set()
            assert [answer.status for answer in await asyncio.gather(*asked)] == [200, 200]
    assert sorted(sent) == ["Bearer new"] * 2 + ["Bearer old"] * 2
