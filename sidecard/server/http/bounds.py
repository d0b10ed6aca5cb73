"""aiohttp's server, with bounds for those who connect: how many, how long, how large a head."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

from sidecard.config.listen import Listen
from sidecard.server.http.encode import JSON, failed

_HEADERS: Final = 64
_WHOLE_HEAD: Final = 4
"""How much larger than one header all of them may be."""
_NO_HTTP: Final = (
    "the request is no HTTP/1.1 as it is taken here: look at its form, its encoding, and the size "
    "of its headers (listen.header_bytes)"
)
_OURS: Final = 500
SERVER: Final = {"server": "sidecard"}
"""Of all answers: aiohttp's own would tell its version, and Python's."""
# aiohttp logs malformed requests as errors, with the bytes: anybody could write to the log.
_SILENT: Final = logging.Logger(__name__, logging.CRITICAL)  # noqa: LOG001  # of no tree


class _Connection(RequestHandler):
    """Cuts who is slow with a request's head, or lets it grow: aiohttp bounds each header alone."""

    __slots__ = ("_head_bytes", "_late", "_listen")

    def __init__(self, server: Server, *, listen: Listen, **bounds: Any) -> None:  # noqa: ANN401  # aiohttp's
        super().__init__(server, loop=asyncio.get_running_loop(), **bounds)
        self._listen = listen
        self._head_bytes = 0
        self._late: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count > before or self._current_request is not None:
            self._head_ended()
            return
        self._head_bytes += len(data)
        if self._head_bytes > self._listen.header_bytes * _WHOLE_HEAD:
            self.force_close()
        elif self._late is None:
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(self._listen.handshake_s, self.force_close)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Return what a request gets that is no HTTP; aiohttp's own would repeat its bytes."""
        del exc, message
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, and can't become another")
        kind, told = ("invalid_request_error", _NO_HTTP) if status < _OURS else ("api_error", "")
        body = failed(kind, told, "")
        response = Response(status=status, body=body, content_type=JSON, headers=SERVER)
        response.force_close()
        return response

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_ended()
        super().connection_lost(exc)

    def _head_ended(self) -> None:
        self._head_bytes = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None


class BoundedServer(Server):
    """Has so many connections at most; one more is closed at once."""

    def __init__(
        self, answer: Callable[[BaseRequest], Awaitable[StreamResponse]], listen: Listen
    ) -> None:
        # A caller who leaves ends its call.
        super().__init__(answer, handler_cancellation=True)
        self._listen = listen

    def __call__(self) -> RequestHandler:
        """Return what serves one connection."""
        return _Connection(
            self,
            listen=self._listen,
            access_log=None,
            logger=_SILENT,
            max_line_size=self._listen.header_bytes,
            max_field_size=self._listen.header_bytes,
            max_headers=_HEADERS,
            keepalive_timeout=self._listen.idle_s,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, or close it."""
        super().connection_made(handler, transport)
        if len(self._connections) > self._listen.connections:
            transport.abort()
