"""aiohttp's server, with bounds for those who connect: how many, how long, how large a head."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

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
    """Cuts who is slow with a request's head, or lets it grow: aiohttp bounds each header alone.

    And who doesn't take an answer: aiohttp waits for that without end.
    """

    __slots__ = ("_cuts", "_head_bytes", "_late", "_listen", "_stalled", "_total_s", "_wire")

    def __init__(self, server: Server, *, listen: Listen, total_s: float, **bounds: Any) -> None:  # noqa: ANN401  # aiohttp's
        super().__init__(server, loop=asyncio.get_running_loop(), **bounds)
        self._listen = listen
        self._total_s = total_s
        self._head_bytes = 0
        self._late: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._cuts: list[asyncio.TimerHandle] = []
        self._wire: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        loop, age_s = asyncio.get_running_loop(), self._listen.age_s
        # First what runs may end; then it is over, whatever is left to be taken.
        self._cuts.append(loop.call_later(age_s, self._retire))
        self._cuts.append(loop.call_later(age_s + self._total_s, self._cut))

    def pause_writing(self) -> None:
        """Bound how long a caller takes nothing of an answer."""
        super().pause_writing()
        loop = asyncio.get_running_loop()
        self._stalled = loop.call_later(self._total_s, self._cut)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._taken()

    def _retire(self) -> None:
        """Close, once the answers that are asked for are given."""
        if self._waiter is not None and not self._waiter.done():
            self.force_close()
        else:
            self.close()

    def _cut(self) -> None:
        # aiohttp forgets its own when it closes, and closing waits for what isn't taken.
        if self._wire is not None:
            self._wire.abort()

    def _taken(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        asked = self._asked()
        super().data_received(data)
        if asked or self._request_count > before:
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
        self._taken()
        for cut in self._cuts:
            cut.cancel()
        super().connection_lost(exc)

    def _asked(self) -> bool:
        """Whether a request's head is whole and its answer isn't: what comes is no head then.

        aiohttp takes a turn of the loop or two until it has begun with a request: meanwhile the
        waiter of its task is done, or gone.
        """
        return self._request_count > 0 and (self._waiter is None or self._waiter.done())

    def _head_ended(self) -> None:
        self._head_bytes = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None


class BoundedServer(Server):
    """Has so many connections at most; one more is closed at once."""

    def __init__(
        self,
        answer: Callable[[BaseRequest], Awaitable[StreamResponse]],
        listen: Listen,
        total_s: float,
    ) -> None:
        # A caller who leaves ends its call.
        super().__init__(answer, handler_cancellation=True)
        self._listen = listen
        self._total_s = total_s

    def __call__(self) -> RequestHandler:
        """Return what serves one connection."""
        return _Connection(
            self,
            listen=self._listen,
            total_s=self._total_s,
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
