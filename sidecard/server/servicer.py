"""The service itself: each method decodes, runs the stack within the deadline, and answers.

Requests are taken as bytes and parsed here,
so that a message that is too large or no message at all gets a status that names the fix,
instead of gRPC's bare INTERNAL.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from sidecard.config.listen import Listen
from sidecard.core.call import Call, Mode
from sidecard.core.clock import Clock
from sidecard.core.errors import (
    DeadlineExceeded,
    InvalidCall,
    Overloaded,
    PermissionDenied,
    ShuttingDown,
    SidecardError,
    Violation,
)
from sidecard.core.handler import Handler
from sidecard.core.note import Shed
from sidecard.core.ports import Hits, NoteSink
from sidecard.server import encode, reading, writing
from sidecard.server.arrival import Arrival, Context, arrive, authorization_of
from sidecard.server.caller_tokens import Callers
from sidecard.server.decode import Decoder
from sidecard.server.memory import Memory
from sidecard.server.open_calls import OpenCalls
from sidecard.server.recall import Recall, Recalled
from sidecard.server.status import CANCELLED, OK, code_of, details_of, message_of
from sidecard.v1 import generation_pb2 as pb

_DEFAULTS = Listen()
_ABORT_S = 1.0
"""How long a status waits for a caller who has stopped reading: then the call is just ended."""

Counter = Callable[[Call], Awaitable[int]]
RpcSink = Callable[[str, str, float], object]
"""Takes an RPC's method, gRPC's code for its end, and the seconds that it took."""
_Request = TypeVar("_Request", pb.GenerateRequest, pb.CountTokensRequest)

_Method = Callable[[bytes, Context, Arrival], Awaitable[Any]]

_log = logging.getLogger(__name__)


class GenerationServicer:
    """`sidecard.v1.GenerationService` over a stack. Safe to share.

    `total_s` caps every call's time; `listen` has the bounds of what is read of it.
    `trace_share` is as in `arrive`; `callers` knows whose a token is, None where none is needed.
    """

    def __init__(
        self,
        stack: Handler,
        *,
        hits: Hits,
        count: Counter,
        decoder: Decoder,
        callers: Callers | None = None,
        clock: Clock,
        sink: RpcSink = lambda *_: None,
        total_s: float,
        listen: Listen = _DEFAULTS,
        memory: Memory | None = None,
        notes: NoteSink = lambda _: None,
        trace_share: float | None = None,
    ) -> None:
        self._stack = stack
        self._hits = hits
        self.recall = Recall()
        self._count = count
        self._decoder = decoder
        self._callers = callers
        self._clock = clock
        self._sink = sink
        self._total_s = total_s
        self._listen = listen
        self._memory = memory or Memory(None, clock=clock)
        self._notes = notes
        self._in_time = reading.InTime(listen.body_s)
        self._trace_share = trace_share
        self.open_calls = OpenCalls()

    def configure(
        self, stack: Handler, *, count: Counter, decoder: Decoder, total_s: float
    ) -> None:
        """Take the next calls under another configuration; those that run stay as they are."""
        self._stack = stack
        self._count = count
        self._decoder = decoder
        self._total_s = total_s
        self.recall.forget()

    async def generate(self, payload: bytes, context: Context, arrival: Arrival) -> bytes:
        """One question, one whole answer, serialized."""
        try:
            own = self._own(arrival)
            answer = self._again(payload, arrival, own)
            if answer is None:
                call, known = self._recalled(payload, arrival, own)
                if (hit := self._hits(call, known.key, arrival.received_at)) is not None:
                    answer = encode.hit(hit, known, arrival)
                    known.again = hit.again
                else:
                    async with _until(arrival):
                        reply = await self._stack(call)
                        message = await reply.message()
                    answer = encode.response(reply, message, arrival).SerializeToString()
        except BaseException as error:  # noqa: BLE001  # told apart in _fail, which always raises
            await self._fail("Generate", context, error, arrival)
        self._ended("Generate", OK, arrival)
        return answer

    async def stream_generate(self, payload: bytes, context: Context, arrival: Arrival) -> None:
        """The same as it comes; no batch is read before the one before it was taken."""
        try:
            own = self._own(arrival)
            request = self._parse(pb.GenerateRequest(), payload)
            async with _until(arrival):
                reply = await self._stack(self._call(request, Mode.STREAM, arrival, own))
                encoder = encode.StreamEncoder(reply, arrival)
                try:
                    begun = False
                    async for batch in reply:
                        part = context.write(encoder.part(batch))
                        await (part if begun else writing.first(part))
                        begun = True
                finally:
                    await reply.aclose()
        except BaseException as error:  # noqa: BLE001  # told apart in _fail, which always raises
            await self._fail("StreamGenerate", context, error, arrival)
        self._ended("StreamGenerate", OK, arrival)

    async def count_tokens(
        self, payload: bytes, context: Context, arrival: Arrival
    ) -> pb.CountTokensResponse:
        """How many tokens of input a request would have."""
        try:
            own = self._own(arrival)
            request = self._parse(pb.CountTokensRequest(), payload)
            call = self._call(request.request, Mode.UNARY, arrival, own, prefix="request.")
            async with _until(arrival):
                tokens = await self._count(call)
            facts = {"request_id": call.request_id, "tenant": call.tenant}
            _log.info("tokens counted", extra={**facts, "target": call.target.name})
        except BaseException as error:  # noqa: BLE001  # told apart in _fail, which always raises
            await self._fail("CountTokens", context, error, arrival)
        self._ended("CountTokens", OK, arrival)
        return pb.CountTokensResponse(input_tokens=tokens, target=call.target.name)

    async def payload(self, method: str, context: Context, arrival: Arrival) -> bytes:
        """Return a request's bytes, once it is known that they may come; else end the call.

        Nothing of a caller without a token is read, and of nobody for longer than `body_s`.
        """
        task = self.open_calls.add()
        try:
            self._see_that_it_may_come(arrival)
            payload = await self._in_time(context.read(), task)
        except BaseException as error:  # noqa: BLE001  # told apart in _fail, which always raises
            if isinstance(error, TimeoutError):
                error = DeadlineExceeded(reading.DRIP)
            await self._fail(method, context, error, arrival)
        if isinstance(payload, bytes):
            return payload
        missing = InvalidCall(Violation("request", reading.NONE))
        return await self._fail(method, context, missing, arrival)

    def _see_that_it_may_come(self, arrival: Arrival) -> None:
        self._own(arrival)
        if len(self.open_calls) > (most := self._listen.calls):
            self._notes(Shed(arrival.request_id, "", "", "edge", "calls"))
            raise Overloaded(f"{most:,} calls are open, and no more are taken (listen.calls)")
        self._memory.see_that_there_is_room(len(self.open_calls), arrival.request_id)
        size = sum([len(key) + len(value) for key, value in arrival.metadata])
        if size > (most := self._listen.header_bytes):
            limit = f"at most {most:,} (listen.header_bytes)"
            raise InvalidCall(Violation("metadata", f"{size:,} bytes; {limit}"))

    def arrive(self, context: Context) -> Arrival:
        """Note that a call has come."""
        return arrive(context, self._clock, self._total_s, self._trace_share)

    def _own(self, arrival: Arrival) -> str:
        """Return the tenant that the caller's token is for alone, "" for any.

        Raises `Unauthenticated`.
        """
        return self._callers(authorization_of(arrival.metadata)) if self._callers else ""

    def _again(self, payload: bytes, arrival: Arrival, own: str) -> bytes | None:
        """Return what the same caller was answered from the cache to the same bytes, if it holds.

        That is most of what a cache does, and so the shortest way.
        """
        known = self.recall.get(_by(own, payload))
        if known is None or known.again is None or self._clock.now() >= arrival.deadline:
            return None
        told = known.again(arrival.request_id, arrival.received_at)
        return None if told is None else encode.hit_again(known, arrival, *told)

    def _recalled(self, payload: bytes, arrival: Arrival, own: str) -> tuple[Call, Recalled]:
        """Return the call of a request, decoded unless the same caller sent the same bytes."""
        key = _by(own, payload)
        known = self.recall.get(key)
        if known is None:
            request = self._parse(pb.GenerateRequest(), payload)
            call = self._call(request, Mode.UNARY, arrival, own)
            return call, self.recall.keep(key, call, self._hits.key(call))
        call = known.call.again(
            request_id=arrival.request_id, deadline=arrival.deadline, trail=arrival.trail
        )
        self._see_that_time_is_left(call)
        return call, known

    def _parse(self, into: _Request, payload: bytes) -> _Request:
        if len(payload) > (most := self._listen.max_message_bytes):
            limit = f"at most {most:,} (listen.max_message_bytes)"
            raise InvalidCall(Violation("request", f"{len(payload):,} bytes; {limit}"))
        try:
            into.ParseFromString(payload)
        except DecodeError:
            problem = "not a message of this type: strings have to be UTF-8, nesting below 100"
            raise InvalidCall(Violation("request", problem)) from None
        return into

    def _call(
        self,
        request: pb.GenerateRequest,
        mode: Mode,
        arrival: Arrival,
        own: str,
        prefix: str = "",
    ) -> Call:
        call = self._decoder.decode(
            request,
            mode=mode,
            request_id=arrival.request_id,
            deadline=arrival.deadline,
            trail=arrival.trail,
            own=own,
            prefix=prefix,
        )
        self._see_that_time_is_left(call)
        return call

    def _see_that_time_is_left(self, call: Call) -> None:
        # A timeout fires at the next wait, which may be after a pooled connection was written to.
        if self._clock.now() >= call.deadline:
            raise DeadlineExceeded("the call's deadline passed before anything was sent")

    def _ended(self, method: str, code: str, arrival: Arrival) -> None:
        self._sink(method, code, self._clock.now() - arrival.received_at)

    async def _fail(
        self, method: str, context: Context, error: BaseException, arrival: Arrival
    ) -> NoReturn:
        """End the call with the error's status. A cancelled call has nobody left to tell."""
        if isinstance(error, asyncio.CancelledError) and self.open_calls.cut:
            error = ShuttingDown("the daemon stops, and the time for calls to finish is over")
        if isinstance(error, asyncio.CancelledError | grpc.aio.AbortError):
            self._ended(method, CANCELLED, arrival)
            raise error
        if isinstance(error, TimeoutError):
            error = DeadlineExceeded("the call's deadline passed before its answer was whole")
        if isinstance(error, InvalidCall | PermissionDenied):
            facts = {"request_id": arrival.request_id, "fields": error.fields}
            _log.info("call refused", extra=facts)
        elif not isinstance(error, SidecardError):
            _log.error("a bug", exc_info=error, extra={"request_id": arrival.request_id})
        self._ended(method, code_of(error).name, arrival)
        details = (("grpc-status-details-bin", details_of(error, arrival)),)
        try:
            async with asyncio.timeout(_ABORT_S):
                await context.abort(code_of(error), message_of(error), details)
        except (TimeoutError, grpc.aio.InternalError):
            raise asyncio.CancelledError from None  # The caller doesn't read, or has just left.
        raise AssertionError  # abort has raised; its annotation doesn't say so


def _by(own: str, payload: bytes) -> bytes:
    """Return what a request is remembered under."""
    return own.encode() + b"\0" + payload if own else payload


def _until(arrival: Arrival) -> asyncio.Timeout:
    """Bound a block by the deadline; `Clock.now` counts as the event loop does."""
    return asyncio.timeout_at(arrival.deadline)


def handlers(servicer: GenerationServicer) -> "dict[str, grpc.RpcMethodHandler[bytes, Message]]":
    """Return the methods by name, for gRPC's generic handler.

    To gRPC they are streams of requests, of which one is read: of unary ones it reads the request
    itself, however long that takes to come, before it asks us anything.
    """

    def read_first(name: str, method: _Method) -> Callable[[object, Context], Awaitable[Any]]:
        async def read(_: object, context: Context) -> Any:  # noqa: ANN401  # as the method's
            arrival = servicer.arrive(context)
            return await method(await servicer.payload(name, context, arrival), context, arrival)

        return read

    return {
        "Generate": grpc.stream_unary_rpc_method_handler(read_first("Generate", servicer.generate)),
        "StreamGenerate": grpc.stream_stream_rpc_method_handler(
            read_first("StreamGenerate", servicer.stream_generate),
            response_serializer=pb.StreamGenerateResponse.SerializeToString,
        ),
        "CountTokens": grpc.stream_unary_rpc_method_handler(
            read_first("CountTokens", servicer.count_tokens),
            response_serializer=pb.CountTokensResponse.SerializeToString,
        ),
    }
