"""A daemon on a real gRPC server whose every answer the test writes, and both clients for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, Self, Unpack

import grpc

from sidecard.core.errors import SidecardError as CoreError
from sidecard.server.arrival import Arrival
from sidecard.server.status import code_of, details_of, message_of
from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.content_pb2 import ContentBlock
from sidecard.v1.generation_pb2_grpc import (
    GenerationServiceServicer,
    add_GenerationServiceServicer_to_server,
)
from sidecard.v1.stream_pb2 import BlockStopped, Finished, Started, StreamEvent
from sidecard.v1.usage_pb2 import Usage
from sidecard_client import AsyncClient, Client, Options, Reply

Context = grpc.aio.ServicerContext[Any, Any]
Generate = Callable[[pb.GenerateRequest, Context], Awaitable[pb.GenerateResponse]]
StreamGenerate = Callable[[pb.GenerateRequest, Context], AsyncIterator[pb.StreamGenerateResponse]]


async def _echo(request: pb.GenerateRequest, _context: Context) -> pb.GenerateResponse:
    return pb.GenerateResponse(text=request.prompt, source=pb.SOURCE_UPSTREAM)


async def _hello(_: object, _context: object) -> AsyncIterator[pb.StreamGenerateResponse]:
    for message in hello():
        yield message


class ScriptedDaemon(GenerationServiceServicer):
    """Plays `generate` and `stream`; keeps the last request and what it came with."""

    def __init__(self) -> None:
        self.address = ""
        self.request = pb.GenerateRequest()
        self.metadata: dict[str, str | bytes] = {}
        self.time_remaining_s: float | None = None
        self.calls = 0
        self.cancelled = asyncio.Event()
        self.generate: Generate = _echo
        self.stream: StreamGenerate = _hello

    async def Generate(  # noqa: N802  # gRPC's name
        self, request: pb.GenerateRequest, context: Context
    ) -> pb.GenerateResponse:
        self._note(request, context)
        try:
            return await self.generate(request, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def StreamGenerate(  # noqa: N802  # gRPC's name
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.StreamGenerateResponse]:
        self._note(request, context)
        try:
            async for message in self.stream(request, context):
                yield message
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def CountTokens(  # noqa: N802  # gRPC's name
        self, request: pb.CountTokensRequest, context: Context
    ) -> pb.CountTokensResponse:
        self._note(request.request, context)
        return pb.CountTokensResponse(input_tokens=len(request.request.prompt))

    def _note(self, request: pb.GenerateRequest, context: Context) -> None:
        self.calls += 1
        self.request = request
        self.metadata = dict(context.invocation_metadata() or ())
        self.time_remaining_s = context.time_remaining()


@asynccontextmanager
async def scripted(
    address: str = "127.0.0.1:0", daemon: ScriptedDaemon | None = None
) -> AsyncIterator[ScriptedDaemon]:
    """Serve until the block ends."""
    daemon = daemon or ScriptedDaemon()
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.aio.server(options=unlimited)
    add_GenerationServiceServicer_to_server(daemon, server)
    port = server.add_insecure_port(address)
    daemon.address = address if address.startswith("unix:") else f"127.0.0.1:{port}"
    await server.start()
    try:
        yield daemon
    finally:
        await server.stop(0)


async def fail(context: Context, error: BaseException, sent: int = 0) -> NoReturn:
    """End a call as the daemon does, after so many attempts."""
    arrival = Arrival("req-1", 0.0, 600.0)
    for _ in range(sent):
        arrival.trail.begin("a", 0.0)
    details = (("grpc-status-details-bin", details_of(error, arrival)),)
    await context.abort(code_of(error), message_of(error), details)
    raise AssertionError


def failing(error: CoreError, sent: int = 0) -> Generate:
    """Return a `generate` that fails so, after so many attempts."""

    async def generate(_: pb.GenerateRequest, context: Context) -> pb.GenerateResponse:
        await fail(context, error, sent)

    return generate


async def waiting(_: pb.GenerateRequest, _context: Context) -> pb.GenerateResponse:
    """Never answer."""
    return await asyncio.Event().wait() and pb.GenerateResponse()


def packed(*events: StreamEvent) -> pb.StreamGenerateResponse:
    """Return the message of one upstream read."""
    return pb.StreamGenerateResponse(events=events)


def text(piece: str, index: int = 0) -> StreamEvent:
    """Return a text delta."""
    return StreamEvent(index=index, text_delta=piece)


def opened() -> pb.StreamGenerateResponse:
    """Return how a stream of text begins."""
    return packed(
        StreamEvent(started=Started(message_id="msg_1", model="m")),
        StreamEvent(index=0, block_started=ContentBlock(text={"text": ""})),
    )


def closed() -> list[pb.StreamGenerateResponse]:
    """Return how a stream of text ends whole."""
    last = pb.GenerateResponse(request_id="req-1", stop_reason="end_turn", model="m")
    return [
        packed(
            StreamEvent(index=0, block_stopped=BlockStopped()),
            StreamEvent(usage=Usage(input_tokens=3, output_tokens=2)),
            StreamEvent(finished=Finished(stop_reason="end_turn")),
        ),
        pb.StreamGenerateResponse(response=last),
    ]


def hello() -> list[pb.StreamGenerateResponse]:
    """Return a whole stream that says "Hello, world"."""
    return [opened(), packed(text("Hel"), text("lo")), packed(text(", world")), *closed()]


class Blocking:
    """The blocking client as the awaiting one looks, each call in a thread of its own."""

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float | None = None,
        tenant: str = "",
        wait_for_ready_s: float = 0,
    ) -> None:
        self.client = Client(
            address, timeout_s=timeout_s, tenant=tenant, wait_for_ready_s=wait_for_ready_s
        )

    async def generate(self, prompt: str | None = None, **options: Unpack[Options]) -> Reply:
        return await asyncio.to_thread(self.client.generate, prompt, **options)

    async def count_tokens(self, prompt: str | None = None, **options: Unpack[Options]) -> int:
        return await asyncio.to_thread(self.client.count_tokens, prompt, **options)

    def stream(self, prompt: str | None = None, **options: Unpack[Options]) -> "BlockingStream":
        return BlockingStream(self.client, prompt, options)

    async def close(self) -> None:
        await asyncio.to_thread(self.client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class BlockingStream:
    """A blocking stream as the awaiting one looks."""

    def __init__(self, client: Client, prompt: str | None, options: Options) -> None:
        self.stream = client.stream(prompt, **options)

    @property
    def text(self) -> str:
        return self.stream.text

    @property
    def response(self) -> Reply:
        return self.stream.response

    @property
    async def text_stream(self) -> AsyncIterator[str]:
        pieces = self.stream.text_stream
        while piece := await asyncio.to_thread(next, pieces, ""):
            yield piece

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        event = await asyncio.to_thread(next, self.stream, None)
        if event is None:
            raise StopAsyncIteration
        return event

    async def close(self) -> None:
        await asyncio.to_thread(self.stream.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


AnyClient = AsyncClient | Blocking
CLIENTS: list[Callable[..., AnyClient]] = [AsyncClient, Blocking]


async def eventually(condition: Callable[[], bool], within_s: float = 5) -> None:
    """Return once `condition` holds; TimeoutError if it doesn't."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # what it watches lives in threads and processes
            await asyncio.sleep(0.01)
