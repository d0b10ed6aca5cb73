"""The admin server: what the daemon says of itself, read-only, over HTTP.

It has no login, so it shows no content, takes no orders,
and answers only to names that are its own: a web page that a browser on this machine opens
could else read it by pointing a name of its own at 127.0.0.1 (DNS rebinding).
"""

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from sidecard.server.address import AddressError
from sidecard.server.told import Told

_IDLE_S: Final = 30.0
_STOP_S: Final = 0.5
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_Answer = Callable[[web.BaseRequest], Awaitable[web.Response]]


class AdminServer:
    """Serves one `Told`. Started once, stopped once.

    `any_host`: whether names and addresses of other machines may be asked for, too.
    """

    def __init__(self, address: str, told: Told, *, any_host: bool = False) -> None:
        self.address = address
        self._told = told
        self._any_host = any_host
        self._listener: asyncio.Server | None = None
        self._server = web.Server(
            self._handle, access_log=None, keepalive_timeout=_IDLE_S, max_line_size=8190
        )
        self._pages: dict[str, _Answer] = {
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status.json": self._status,
        }

    async def start(self) -> None:
        """Listen; raises `AddressError`. `address` is then where, as bound."""
        host, _, port = self.address.rpartition(":")
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._server, host.strip("[]"), int(port), reuse_address=True
            )
        except OSError as error:
            why = "it is in use" if error.errno else str(error)
            msg = f"can't listen on {self.address} (listen.admin): {why}; null turns it off"
            raise AddressError(msg) from None
        self.address = f"{host}:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection."""
        if self._listener is not None:
            self._listener.close()
            await self._server.shutdown(_STOP_S)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        page = self._pages.get(request.path)
        if not self._is_ours(request.host):
            return _text(421, f"{request.host[:100]!r} is no name of this server")
        if page is None:
            return _text(404, "there are " + ", ".join(self._pages))
        if request.method not in {"GET", "HEAD"}:
            return _text(405, "this server is for reading only: GET or HEAD", allow="GET, HEAD")
        return await page(request)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server and not a name that somebody pointed at it."""
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        name = name.strip("[]").lower()
        if name in _LOOPBACK or name == self.address.rpartition(":")[0].strip("[]"):
            return True
        return self._any_host and _is_ip(name)  # An address can't be pointed elsewhere.

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        body, content_type = self._told.metrics(request.headers.get("accept", ""))
        return web.Response(body=body, headers={"content-type": content_type})

    async def _healthz(self, _: web.BaseRequest) -> web.Response:
        return _text(200, "ok")

    async def _readyz(self, _: web.BaseRequest) -> web.Response:
        why = self._told.ready()
        return _text(200, "ready") if why is None else _text(503, why)

    async def _status(self, _: web.BaseRequest) -> web.Response:
        body = json.dumps(self._told.status(), indent=2).encode()
        return web.Response(body=body, headers={"content-type": "application/json"})

    def __repr__(self) -> str:
        return f"<AdminServer {self.address}>"


def _text(status: int, text: str, **headers: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
