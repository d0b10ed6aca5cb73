"""The direct transport: an API key over aiohttp, which costs a tenth of the SDK's client.

Connections are pooled and kept alive, without a cap: how many calls run is admission's business.
A pooled connection that the server closed is dropped when that is seen.
When it closes in the very moment of a request, the request fails in `Phase.SEND`:
a POST may have been taken, so to send it again is for those to decide who know what that costs.
Answers are asked for, and taken, uncompressed, so that none can unpack to more than it is.
"""

import asyncio
import io
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import ClientError, ClientResponse
from multidict import CIMultiDict
from yarl import URL

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject
from sidecard.core.version import VERSION
from sidecard.upstream.direct_faults import before_answer, in_answer
from sidecard.upstream.direct_pool import connections
from sidecard.upstream.keys import KeySource, Secret
from sidecard.upstream.proxy import proxy_for
from sidecard.upstream.transport import NONE, Phase, TransportFault
from sidecard.upstream.wire.request import split

API_VERSION: Final = "2026-10-21"
"""`anthropic-version`, as the SDK that the wire format is tested against sends it."""

_KEEPALIVE_S: Final = 30.0
"""Shorter than servers and balancers wait: a connection is ours to close, not found dead."""

_END_S: Final = 1.0
"""How long a connection waits for the end of a body whose message is whole."""

_UNAUTHORIZED: Final = 401
_BUFFER_BYTES: Final = 65_536
_AT_ONCE_BYTES: Final = 1_048_576
"""A larger body is sent in pieces; aiohttp warns of a blocked loop otherwise."""


class Direct:
    """Posts with the key as a bearer token, as the SDK does.

    Made within the running event loop; safe to share by its tasks.

    `tls` replaces the system's trust, which honours SSL_CERT_FILE and SSL_CERT_DIR.
    """

    def __init__(
        self,
        base_url: str,
        key: KeySource,
        *,
        connect_timeout_s: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._headers: tuple[str, CIMultiDict[str]] = ("", CIMultiDict())
        self._urls: dict[str, URL] = {}
        self._connect_timeout_s = connect_timeout_s
        proxy = proxy_for(self._base_url)
        self._proxy_headers = proxy.headers if proxy else None
        self._open: set[ClientResponse] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEPALIVE_S, ssl=tls or True
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_BUFFER_BYTES,
            proxy=proxy.url if proxy else None,
        )

    async def send(
        self, path: str, body: JsonObject, headers: Mapping[str, str] = NONE
    ) -> "DirectResponse":
        """POST `body`; see `Transport.send`. With a key that has just been replaced, once more."""
        body, betas = split(body)
        data = jsonio.dumps(body).encode()
        if betas:
            headers = {**headers, "anthropic-beta": betas}
        current = self._current_headers()
        response = await self._post(path, data, _with(current, headers))
        if response.status == _UNAUTHORIZED:
            self._key.rejected()
            if (replaced := self._current_headers()) is not current:
                _close(response)
                response = await self._post(path, data, _with(replaced, headers))
        if response.status == 200:  # noqa: PLR2004
            _refuse_compressed(response)
        self._open.add(response)
        return DirectResponse(response, self._open)

    async def _post(self, path: str, data: bytes, headers: CIMultiDict[str]) -> ClientResponse:
        try:
            return await self._session.post(
                self._url(path),
                data=data if len(data) <= _AT_ONCE_BYTES else io.BytesIO(data),
                headers=headers,
                proxy_headers=self._proxy_headers,
                allow_redirects=False,
            )
        except (ClientError, OSError) as error:
            raise before_answer(error, connect_timeout_s=self._connect_timeout_s) from error

    @property
    def busy(self) -> int:
        """How many answers are being read now."""
        return len(self._open)

    @property
    def connections(self) -> int:
        """How many connections are open now, those that are kept for the next calls, too."""
        return connections([self._session])

    async def aclose(self) -> None:
        """Close every connection; answers that are still read end in a `TransportFault`."""
        for response in self._open:
            _close(response)  # The session's own close would leave their readers waiting.
        await self._session.close()

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._base_url + path)
        return url

    def _current_headers(self) -> CIMultiDict[str]:
        key = self._key.current()
        if key != self._headers[0]:
            headers = CIMultiDict(
                {
                    "authorization": Secret(f"Bearer {key}"),
                    "anthropic-version": API_VERSION,
                    "content-type": "application/json",
                    "accept": "*/*",
                    "accept-encoding": "identity",
                    "user-agent": f"sidecard/{VERSION}",
                }
            )
            self._headers = (key, headers)
        return self._headers[1]

    def __repr__(self) -> str:
        return f"<Direct {self._base_url}, {len(self._open)} open, {self._key!r}>"


def _with(headers: CIMultiDict[str], more: Mapping[str, str]) -> CIMultiDict[str]:
    """Return the headers of a request, which are shared unless it has some of its own."""
    if not more:
        return headers
    own = headers.copy()
    own.update(more)
    return own


class DirectResponse:
    """A `Response` over aiohttp's."""

    __slots__ = ("_open", "_response")

    def __init__(self, response: ClientResponse, among: set[ClientResponse]) -> None:
        self._response = response
        self._open = among

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, looked up without regard to case."""
        return self._response.headers

    async def read(self) -> bytes:
        """Return all that has arrived; see `Response.read`."""
        try:
            return await self._response.content.readany()
        except (ClientError, OSError) as error:
            raise in_answer(error) from error

    async def aclose(self, *, finished: bool = False) -> None:
        """Let go of the connection; see `Response.aclose`."""
        response = self._response
        self._open.discard(response)
        if response.content.is_eof():
            response.release()
        elif finished:
            # aiohttp itself hands the connection back when the body's end comes.
            late = asyncio.get_running_loop().call_later(_END_S, _close, response)
            response.content.on_eof(late.cancel)
        else:
            _close(response)


def _close(response: ClientResponse) -> None:
    """Close the connection without the farewells of TLS, which the server may keep waiting."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def _refuse_compressed(response: ClientResponse) -> None:
    """Raise `TransportFault` for an answer that would have to be unpacked."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        _close(response)
        reason = f"the answer is compressed ({encoding[:20]}), which was not asked for"
        raise TransportFault(Phase.READ, reason)
