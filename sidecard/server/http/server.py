"""The HTTP server for programs that use an Anthropic SDK: its address is their base URL.

A browser on this machine is no such program: what has an `Origin`,
another Host than its own or no JSON for a content type is refused, as that costs money.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp.http_exceptions import ContentEncodingError
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from sidecard.config.listen import Listen
from sidecard.core.call import Call, Mode
from sidecard.core.clock import Clock
from sidecard.core.errors import (
    DeadlineExceeded,
    InvalidCall,
    PermissionDenied,
    ShuttingDown,
    SidecardError,
    Violation,
)
from sidecard.core.handler import Handler
from sidecard.server.address import AddressError, is_own_name
from sidecard.server.arrival import Arrival, arrive_at
from sidecard.server.caller_tokens import Callers
from sidecard.server.http import encode, status, structured
from sidecard.server.http.bounds import SERVER, BoundedServer
from sidecard.server.http.decode import Decoder, read
from sidecard.server.memory import Memory
from sidecard.server.open_calls import OpenCalls

if TYPE_CHECKING:
    from sidecard.server.tls import ServerTls

Counter = Callable[[Call], Awaitable[int]]
RpcSink = Callable[[str, str, float], object]
"""Takes a path, the status of its end, and the seconds that it took."""
Begin = Callable[[dict[str, str]], Awaitable[StreamResponse]]

_MESSAGES: Final = "/v1/messages"
_COUNT: Final = "/v1/messages/count_tokens"
_TELL_S: Final = 1.0
_DEFAULTS: Final = Listen()
_log: Final = logging.getLogger(__name__)


class HttpServer:
    """Serves the stack as `/v1/messages`. Started once, stopped once."""

    def __init__(
        self,
        address: str,
        stack: Handler,
        *,
        count: Counter,
        decoder: Decoder,
        callers: Callers | None = None,
        clock: Clock,
        sink: RpcSink,
        total_s: float,
        listen: Listen = _DEFAULTS,
        memory: Memory | None = None,
        tls: "ServerTls | None" = None,
        trace_share: float | None = None,
    ) -> None:
        self.address = address
        self._stack = stack
        self._count = count
        self._decoder = decoder
        self._callers = callers
        self._clock = clock
        self._sink = sink
        self._total_s = total_s
        self._listen = listen
        self._memory = memory or Memory(None, clock=clock)
        self._tls = tls
        self._trace_share = trace_share
        self._open_calls = OpenCalls()
        self._listener: asyncio.Server | None = None
        self._server: BoundedServer | None = None

    def configure(
        self, stack: Handler, *, count: Counter, decoder: Decoder, total_s: float
    ) -> None:
        """Take the next calls under another configuration; those that run stay as they are."""
        self._stack = stack
        self._count = count
        self._decoder = decoder
        self._total_s = total_s

    async def start(self) -> None:
        """Listen; raises `AddressError`. `address` is then where, as bound."""
        host, _, port = self.address.rpartition(":")
        self._server = BoundedServer(self._handle, self._listen, self._total_s)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._server, host.strip("[]"), int(port), reuse_address=True, **self._secured()
            )
        except OSError as error:
            msg = f"can't listen on {self.address} (listen.http): {error.strerror or error}"
            raise AddressError(msg) from None
        self.address = f"{host}:{self._listener.sockets[0].getsockname()[1]}"

    def _secured(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        return {"ssl": self._tls.ssl_context(), "ssl_handshake_timeout": self._listen.handshake_s}

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, give running ones `grace_s`, then end them."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        self._server.pre_shutdown()  # Idle connections are closed.
        if cut := await self._open_calls.finish(grace_s, tell_s=_TELL_S):
            _log.warning("HTTP calls cut", extra={"calls": cut, "grace_s": grace_s})
        await self._server.shutdown(0.1)

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        arrival = arrive_at(request.headers, self._clock, self._total_s, self._trace_share)
        method = request.path if request.path in (_MESSAGES, _COUNT) else "other"
        self._open_calls.add()
        stream: StreamResponse | None = None

        async def begin(headers: dict[str, str]) -> StreamResponse:
            nonlocal stream
            stream = StreamResponse(headers=headers | SERVER)
            stream.content_type, stream.charset = "text/event-stream", "utf-8"
            await stream.prepare(request)
            return stream

        try:
            response = await self._answer(request, arrival, begin)
            code = str(response.status)
        except BaseException as error:  # told apart below
            if isinstance(error, ConnectionError):
                error = asyncio.CancelledError()  # The caller has left.
            if isinstance(error, asyncio.CancelledError) and not self._open_calls.cut:
                self._sink(method, "CANCELLED", self._clock.now() - arrival.received_at)
                raise error from None
            error = _told(error, arrival)
            code = str(status.status_of(error))
            response = await _broken(stream, error) if stream else _failed(error, arrival)
        self._sink(method, code, self._clock.now() - arrival.received_at)
        if response is not stream:
            response.headers.update(SERVER)
        return response

    async def _answer(self, request: BaseRequest, arrival: Arrival, begin: Begin) -> StreamResponse:
        if (refused := self._refusal(request)) is not None:
            return _error(*refused, arrival)
        own = self._callers(_token(request.headers)) if self._callers else ""
        self._memory.see_that_there_is_room(len(self._open_calls), arrival.request_id)
        asked = read(await self._payload(request, arrival))
        counts = request.path == _COUNT
        call = self._decoder.decode(asked, request.headers, arrival, own=own, counts=counts)
        if self._clock.now() >= call.deadline:
            raise DeadlineExceeded("the call's deadline passed before anything was sent")
        async with asyncio.timeout_at(arrival.begin_by) as bound:
            if counts:
                body = b'{"input_tokens":%d}' % await self._count(call)
                ids = encode.ids_of(arrival.request_id)
                return Response(body=body, headers=ids, content_type=encode.JSON)
            reply = await self._stack(call)
            headers = encode.headers_of(reply.head, arrival.request_id)
            if call.mode is Mode.UNARY:
                message = await reply.message()
                headers |= encode.cost_of(arrival.trail)
                told = structured.as_asked(call, message)
                headers |= {} if told is message else structured.MENDED
                body = encode.whole(told)
                return Response(body=body, headers=headers, content_type=encode.JSON)
            bound.reschedule(arrival.deadline)
            encoder = encode.StreamEncoder(arrival.trail)
            try:
                stream = await begin(headers)
                async for batch in reply:
                    if part := encoder.part(batch):
                        await stream.write(part)
                await stream.write_eof()
            finally:
                await reply.aclose()
            return stream

    def _refusal(self, request: BaseRequest) -> tuple[int, str, str] | None:
        """Return why a request isn't taken at all: status, type and words."""
        # With TLS the certificate tells the name, and no other server's passes for ours.
        known = self._tls or is_own_name(request.host, self.address, any_ip=self._listen.insecure)
        if not known:
            return 421, "invalid_request_error", f"{request.host[:100]!r} is no name of this server"
        if request.path not in (_MESSAGES, _COUNT):
            return 404, "not_found_error", f"there are {_MESSAGES} and {_COUNT}"
        if request.method != "POST":
            return 405, "invalid_request_error", "only POST is taken"
        if "origin" in request.headers:
            return 403, "permission_error", "a browser's requests are refused: they would cost"
        if request.content_type != encode.JSON:
            return 415, "invalid_request_error", f"expected {encode.JSON}"
        return None

    async def _payload(self, request: BaseRequest, arrival: Arrival) -> bytes:
        """Return the body, of so many bytes at most, and no later than it may take."""
        chunks, size = list[bytes](), 0
        try:
            by = min(arrival.begin_by, arrival.received_at + self._listen.body_s)
            async with asyncio.timeout_at(by):
                while chunk := await request.content.readany():
                    size += len(chunk)
                    if size > (most := self._listen.max_message_bytes):
                        told = f"is over {most:,} (listen.max_message_bytes)"
                        raise InvalidCall(Violation(status.SIZE, told))
                    chunks.append(chunk)
        except TimeoutError:
            told = "the request's body didn't come in time (listen.body_s)"
            raise DeadlineExceeded(told) from None
        except (ContentEncodingError, RequestPayloadError):
            told = "isn't what its headers say of its encoding and length"
            raise InvalidCall(Violation("body", told)) from None
        return b"".join(chunks)

    def __repr__(self) -> str:
        return f"<HttpServer {self.address}, {len(self._open_calls)} open>"


def _token(headers: Mapping[str, str]) -> str:
    """Return the caller's token as gRPC has it: an SDK sends its key in either header."""
    key = headers.get("x-api-key", "")
    return headers.get("authorization", "") or (f"Bearer {key}" if key else "")


def _told(error: BaseException, arrival: Arrival) -> BaseException:
    """Return the error that the caller is told; a bug is logged."""
    if isinstance(error, asyncio.CancelledError):
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        return ShuttingDown("the daemon stops, and the time for calls to finish is over")
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("the call's deadline passed before its answer was whole")
    if isinstance(error, InvalidCall | PermissionDenied):
        facts = {"request_id": arrival.request_id, "fields": error.fields}
        _log.info("call refused", extra=facts)
    elif not isinstance(error, SidecardError):
        _log.error("a bug", exc_info=error, extra={"request_id": arrival.request_id})
    return error


async def _broken(stream: StreamResponse, error: BaseException) -> StreamResponse:
    """End a stream that isn't whole with the event that says so."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(_TELL_S):
            await stream.write(_body(encode.broke, error))
            await stream.write_eof()
    stream.force_close()
    return stream


def _failed(error: BaseException, arrival: Arrival) -> Response:
    body = _body(encode.failed, error, arrival.request_id)
    headers = status.headers_of(error, arrival.request_id)
    code = status.status_of(error)
    return Response(status=code, body=body, headers=headers, content_type=encode.JSON)


def _body(write: Callable[..., bytes], error: BaseException, *about: str) -> bytes:
    """Return what is told of an error, as `write` has it."""
    more = structured.details_of(error)
    return write(status.kind_of(error), status.message_of(error), *about, **more)


def _error(code: int, kind: str, message: str, arrival: Arrival) -> Response:
    body = encode.failed(kind, message, arrival.request_id)
    headers = encode.ids_of(arrival.request_id) | {"x-should-retry": "false"}
    response = Response(status=code, body=body, headers=headers, content_type=encode.JSON)
    response.force_close()  # Its body isn't read.
    return response
