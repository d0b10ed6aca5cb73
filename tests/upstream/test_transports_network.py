"""What lies between a transport and its upstream: certificates and proxies."""

import asyncio
import base64
import contextlib
import os
import resource
import subprocess
import sys

import pytest

from sidecard.upstream.transport import OutOfResources, Phase, TransportFault
from tests.support.rawserver import (
    TLS,
    Connection,
    answers,
    client_tls,
    raw_server,
    unused_port,
)
from tests.support.transports import BODY, KEY, KINDS, PATH, opened, whole

pytestmark = pytest.mark.parametrize("kind", KINDS)

SCRIPT = """
import asyncio, sys
from tests.support.transports import BODY, PATH, opened

async def main():
    async with opened(sys.argv[1], sys.argv[2]) as transport:
        print((await transport.send(PATH, BODY)).status)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


class ForwardProxy:
    """A proxy for both ways: CONNECT for TLS, and whole URLs for plain HTTP."""

    def __init__(self, refusing: int = 0) -> None:
        self.seen: list[str] = []
        self.credentials: list[str] = []
        self._refusing = refusing

    async def handle(self, connection: Connection) -> None:
        line, headers = await connection.head()
        self.seen.append(line)
        self.credentials.append(headers.get("proxy-authorization", ""))
        if self._refusing:
            await connection.answer(self._refusing)
        elif line.startswith("CONNECT "):
            host, _, port = line.split()[1].partition(":")
            await self._tunnel(connection, host, int(port))
        else:
            await connection.answer(200, b"forwarded")

    async def _tunnel(self, connection: Connection, host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        await connection.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        with contextlib.closing(writer):
            back = asyncio.create_task(_pump(reader, connection.writer))
            await _pump(connection.reader, writer)
            await back


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_an_unknown_certificate_is_refused(kind: str) -> None:
    """A certificate that nobody vouches for is a fault of connecting that says so."""
    async with (
        raw_server(answers, tls=True) as server,
        opened(kind, server.base_url) as transport,
    ):
        with pytest.raises(TransportFault, match=r"TLS: .*self.signed certificate") as fault:
            await transport.send(PATH, BODY)
    assert fault.value.phase is Phase.CONNECT
    assert str(server.port) in fault.value.reason


@pytest.mark.parametrize("host", ["127.0.0.1", "api.sidecard.test"])
async def test_without_descriptors_it_is_this_machine_that_fails(kind: str, host: str) -> None:
    """Neither an address nor a name is blamed for it, and what was sent before goes on."""
    async with raw_server(answers) as server, opened(kind, server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        async with opened(kind, f"http://{host}:{server.port}") as another:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            try:
                with pytest.raises(OutOfResources, match="Too many open files") as fault:
                    await another.send(PATH, BODY)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert fault.value.phase is Phase.CONNECT
        assert await whole(response)


async def test_a_server_without_tls_is_refused(kind: str) -> None:
    """Where TLS is meant, plain HTTP is never fallen back to."""
    seen = b""

    async def plain(connection: Connection) -> None:
        nonlocal seen
        seen += await connection.reader.read(65_536)
        await connection.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    async with raw_server(plain) as server:
        async with opened(kind, f"https://127.0.0.1:{server.port}") as transport:
            with pytest.raises(TransportFault, match=r"no connection to .*WRONG_VERSION") as fault:
                await transport.send(PATH, BODY)
        assert fault.value.phase is Phase.CONNECT
    assert seen
    assert KEY.encode() not in seen


async def test_a_certificate_of_ones_own_is_trusted(kind: str) -> None:
    """SSL_CERT_FILE names whom to trust, as it does for every program on OpenSSL."""
    async with raw_server(answers, tls=True) as server:
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", SCRIPT, kind, server.base_url],
            env={**os.environ, "SSL_CERT_FILE": str(TLS / "certificate.pem")},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ran.stdout == "200\n", ran.stderr


async def test_https_goes_through_the_proxy(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is asked for a tunnel, with its credentials, which are shown nowhere."""
    proxy = ForwardProxy()
    async with raw_server(answers, tls=True) as server, raw_server(proxy.handle) as between:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{between.port}")
        async with opened(kind, server.base_url, tls=client_tls()) as transport:
            assert await whole(await transport.send(PATH, BODY)) == b"{}"
            assert "p@ss" not in repr(transport)
            assert "p%40ss" not in repr(transport)
    assert proxy.seen == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
    assert proxy.credentials == ["Basic " + base64.b64encode(b"me:p@ss").decode()]
    assert "proxy-authorization" not in server.requests[0].headers


async def test_http_goes_through_the_proxy(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is handed the whole URL."""
    proxy = ForwardProxy()
    async with raw_server(proxy.handle) as between:
        monkeypatch.setenv("http_proxy", between.base_url)
        async with opened(kind, "http://upstream.invalid:81/base") as transport:
            assert await whole(await transport.send(PATH, BODY)) == b"forwarded"
    assert proxy.seen == ["POST http://upstream.invalid:81/base/v1/messages HTTP/1.1"]


async def test_no_proxy_names_who_is_reached_directly(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream that NO_PROXY lists is not asked for through the proxy."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("NO_PROXY", "elsewhere.example,127.0.0.1")
    async with raw_server(answers) as server, opened(kind, server.base_url) as transport:
        assert await whole(await transport.send(PATH, BODY)) == b"{}"


async def test_a_proxy_that_is_down(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that can't be reached is named as what is wrong, without its credentials."""
    port = unused_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
    async with opened(kind, "https://upstream.invalid") as transport:
        with pytest.raises(TransportFault, match="no connection") as fault:
            await transport.send(PATH, BODY)
    assert fault.value.phase is Phase.CONNECT
    assert fault.value.reason == f"no connection to the proxy 127.0.0.1:{port}: Connection refused"


async def test_a_proxy_that_refuses(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's own refusal is a fault of connecting, not an answer of the upstream's."""
    async with raw_server(ForwardProxy(refusing=407).handle) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.base_url)
        async with opened(kind, "https://upstream.invalid") as transport:
            with pytest.raises(TransportFault, match="the proxy answered 407") as fault:
                await transport.send(PATH, BODY)
    assert fault.value.phase is Phase.CONNECT
