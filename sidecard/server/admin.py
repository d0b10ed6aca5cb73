"""The admin server: what the daemon says of itself, read-only, over HTTP.

It has no login, so it shows no content, takes no orders,
and answers only to names that are its own: a web page that a browser on this machine opens
could else read it by pointing a name of its own at 127.0.0.1 (DNS rebinding).

A connection carries one request, and is cut after ten seconds whatever it does;
of more than 64 the oldest goes. So nobody who is slow, or idle, pins memory.
"""

import asyncio
import errno
import json
import logging
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final

# Not `aiohttp.web`, which loads twice as much: measured, 2.3 MB and 35 ms instead of 0.9 and 14.
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response
from aiohttp.web_server import Server

from sidecard.core.ledger import WHOSE, LedgerFailed, UsageQuery
from sidecard.server.address import AddressError, is_own_name
from sidecard.server.told import Told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.web_protocol import RequestHandler

_log: Final = logging.getLogger(__name__)
# aiohttp logs malformed requests as errors, with the bytes: anybody could write to the log.
_SILENT: Final = logging.Logger(__name__, logging.CRITICAL)  # noqa: LOG001  # of no tree

_LONGEST_S: Final = 10.0
_USAGE_S: Final = 9.0
"""Before the connection is cut: aiohttp lets whoever is asked go on for nobody."""
_STOP_S: Final = 0.5
_CONNECTIONS: Final = 64
_LATEST: Final = 1e12
_HEADER_BYTES: Final = 8_190
_HEADERS: Final = 64
_SAFE: Final = {
    "server": "sidecard",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
_WHY: Final = {
    errno.EADDRINUSE: "it is in use",
    errno.EADDRNOTAVAIL: "it is no address of this machine",
    errno.EACCES: "that port is for root",
}


class _Server(Server):
    """Cuts connections that stay, and the oldest of too many."""

    def __init__(self, answer: "Callable[[BaseRequest], Awaitable[Response]]") -> None:
        super().__init__(
            answer,
            access_log=None,
            logger=_SILENT,
            lingering_time=0,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            max_headers=_HEADERS,
            auto_decompress=False,
        )
        self._cuts: dict[RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: "RequestHandler", transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._cuts) >= _CONNECTIONS:
            # Forgotten at once: many may come before the loop tells that it has gone.
            oldest = next(iter(self._cuts))
            self._cuts.pop(oldest).cancel()
            self._connections[oldest].abort()
        loop = asyncio.get_running_loop()
        self._cuts[handler] = loop.call_later(_LONGEST_S, transport.abort)

    def connection_lost(self, handler: "RequestHandler", exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if (cut := self._cuts.pop(handler, None)) is not None:
            cut.cancel()


class AdminServer:
    """Serves one `Told`. Started once, stopped once.

    `any_host`: whether it may be asked for by any IP address, as other machines know it.
    """

    def __init__(self, address: str, told: Told, *, any_host: bool = False) -> None:
        self.address = address
        self._any_host = any_host
        self._listener: asyncio.Server | None = None
        self._server: _Server | None = None
        self._told = told
        self._pages: dict[str, Callable[[BaseRequest], Response | Awaitable[Response]]] = {
            "/metrics": self._metrics,
            "/healthz": lambda _: _text(200, "ok"),
            "/readyz": self._readyz,
            "/status.json": self._status,
            "/usage.json": self._usage,
            "/": self._page,
        }

    async def start(self) -> None:
        """Listen; raises `AddressError`. `address` is then where, as bound."""
        host, _, port = self.address.rpartition(":")
        self._server = _Server(self._handle)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._server, host.strip("[]"), int(port), reuse_address=True
            )
        except OSError as error:
            why = _WHY.get(error.errno or 0, str(error.strerror or error))
            msg = f"can't listen on {self.address} (listen.admin): {why}; null turns it off"
            raise AddressError(msg) from None
        self.address = f"{host}:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection."""
        if self._listener is not None and self._server is not None:
            self._listener.close()
            await self._server.shutdown(_STOP_S)

    async def _handle(self, request: BaseRequest) -> Response:
        try:
            found = self._answer(request)
            response = found if isinstance(found, Response) else await found
        except Exception:  # noqa: BLE001  # the daemon goes on, and the log says what is wrong
            _log.exception("a page failed", extra={"page": request.path})
            response = _text(500, "that failed; the daemon's log says why")
        response.force_close()
        return response

    def _answer(self, request: BaseRequest) -> "Response | Awaitable[Response]":
        if not self._is_ours(request.host):
            return _text(421, f"{request.host[:100]!r} is no name of this server")
        page = self._pages.get(request.path)
        if page is None:
            return _text(404, "there are " + ", ".join(self._pages))
        if request.method not in {"GET", "HEAD"}:
            return _text(405, "this server is for reading only: GET or HEAD", allow="GET, HEAD")
        return page(request)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server and not a name that somebody pointed at it."""
        return is_own_name(host, self.address, any_ip=self._any_host)

    def _metrics(self, request: BaseRequest) -> Response:
        body, content_type = self._told.metrics(request.headers.get("accept", ""))
        return Response(body=body, headers={**_SAFE, "content-type": content_type})

    def _readyz(self, _: BaseRequest) -> Response:
        why = self._told.ready()
        return _text(200, "ready") if why is None else _text(503, why)

    def _status(self, _: BaseRequest) -> Response:
        body = json.dumps(self._told.status(), indent=2, allow_nan=False).encode()
        return Response(body=body, headers={**_SAFE, "content-type": "application/json"})

    async def _usage(self, request: BaseRequest) -> Response:
        try:
            query = _query(request)
            async with asyncio.timeout(_USAGE_S):
                rows = await self._told.usage(query)
        except TimeoutError:
            return _text(503, f"the ledger can't be read: it takes longer than {_USAGE_S:g} s")
        except ValueError:
            told = f"expected since in seconds since 1970, and by of {', '.join(WHOSE)}"
            return _text(400, told)
        except LedgerFailed as failed:
            return _text(503, f"the ledger can't be read: {failed}")
        body = json.dumps({"since": query.since, "rows": [row._asdict() for row in rows]}).encode()
        return Response(body=body, headers={**_SAFE, "content-type": "application/json"})

    def _page(self, _: BaseRequest) -> Response:
        text, policy = _page()
        headers = {**_SAFE, "content-type": "text/html; charset=utf-8"}
        return Response(body=text, headers={**headers, "content-security-policy": policy})

    def __repr__(self) -> str:
        return f"<AdminServer {self.address}>"


def _query(request: BaseRequest) -> UsageQuery:
    """Return what is asked for; raises ValueError."""
    names = tuple([name for name in request.query.get("by", "").split(",") if name])
    since = float(request.query.get("since", "0"))
    if not set(names) <= set(WHOSE) or not 0 <= since < _LATEST:
        raise ValueError(names)
    return UsageQuery(since, names)


@cache
def _page() -> tuple[bytes, str]:
    """Return the status page, and a policy that lets a browser run what is in it and no more."""
    text = (files("sidecard.server") / "page.html").read_bytes()
    hashes = {
        tag: b64encode(sha256(text.partition(opening)[2].partition(closing)[0]).digest()).decode()
        for tag, opening, closing in (
            ("style", b"<style>", b"</style>"),
            ("script", b"<script>", b"</script>"),
        )
    }
    allowed = "; ".join([f"{tag}-src 'sha256-{digest}'" for tag, digest in hashes.items()])
    return (
        text,
        f"default-src 'none'; connect-src 'self'; img-src data:; {allowed}; frame-ancestors 'none'",
    )


def _text(status: int, text: str, **headers: str) -> Response:
    return Response(status=status, text=f"{text}\n", headers={**_SAFE, **headers})
