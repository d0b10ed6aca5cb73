"""The client that awaits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Self, Unpack

import grpc

from sidecard.v1.generation_pb2 import CountTokensRequest, GenerateRequest, StreamGenerateResponse
from sidecard.v1.generation_pb2_grpc import GenerationServiceStub
from sidecard.v1.stream_pb2 import StreamEvent
from sidecard_client.options import OPTIONS
from sidecard_client.progress import Progress
from sidecard_client.reply import Reply
from sidecard_client.request import Caller, Options, Question

if TYPE_CHECKING:
    from sidecard.v1.generation_pb2_grpc import GenerationServiceAsyncStub

_Call = grpc.aio.UnaryStreamCall[GenerateRequest, StreamGenerateResponse]


class AsyncClient(Caller):
    """Calls the daemon over one connection. Safe to share between tasks; a context manager.

    See `Caller` for its arguments. It belongs to the event loop of its first call.
    """

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        if (secured := self._secured()) is None:
            return grpc.aio.insecure_channel(self.address, OPTIONS)
        return grpc.aio.secure_channel(self.address, *secured)

    @cached_property
    def _stub(self) -> "GenerationServiceAsyncStub":
        return GenerationServiceStub(self._channel)

    async def generate(self, prompt: str | None = None, **options: Unpack[Options]) -> Reply:
        """Return the whole answer, or raise a `SidecardError`."""
        question = self._ask(prompt, options)
        with question.errors(), _own_cancellation():
            return Reply.of(await question.send((await self._ready(question)).Generate))

    def stream(self, prompt: str | None = None, **options: Unpack[Options]) -> "AsyncStream":
        """Return the answer as it comes. Nothing is sent before the first event is asked for."""
        question = self._ask(prompt, options)

        async def begin() -> _Call:
            return question.send((await self._ready(question)).StreamGenerate)

        return AsyncStream(question, begin)

    async def count_tokens(self, prompt: str | None = None, **options: Unpack[Options]) -> int:
        """Return how many tokens of input the request has; raises as `generate` does."""
        question = self._ask(prompt, options)
        request = CountTokensRequest(request=question.request)
        with question.errors(), _own_cancellation():
            counted = await question.send((await self._ready(question)).CountTokens, request)
            return counted.input_tokens

    async def close(self) -> None:
        """Close the connection; running calls are cancelled. Idempotent."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ready(self, question: Question) -> "GenerationServiceAsyncStub":
        """Return the stub, at the first call once the daemon takes connections."""
        if self._wait_for_ready_s:
            try:
                async with asyncio.timeout(self._wait_for_ready_s):
                    await self._channel.channel_ready()
            except TimeoutError:
                raise question.unready(self._wait_for_ready_s) from None
            self._wait_for_ready_s = 0
        return self._stub


class AsyncStream(Progress):
    """The events of one answer in order, or a `SidecardError`. For one task at a time.

    As a context manager it cancels the call where the block is left early.
    """

    def __init__(self, question: Question, begin: Callable[[], Awaitable[_Call]]) -> None:
        super().__init__(question)
        self._begin = begin
        self._call: _Call | None = None
        self._messages: AsyncIterator[StreamGenerateResponse] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        while not self._pending:
            if self._reached_end():
                raise StopAsyncIteration
            with self._errors(), _own_cancellation():
                if self._messages is None:
                    self._call = await self._begin()
                    self._messages = aiter(self._call)
                message = await anext(self._messages, None)
            self._receive(message)
        return self._pending.popleft()

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The text alone, piece by piece."""
        return (event.text_delta async for event in self if event.text_delta)

    async def close(self) -> None:
        """Leave: the call is cancelled at once. Idempotent."""
        self._leave()
        if self._call is not None:
            self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        if self._call is not None and not self._call.done():
            self._call.cancel()


@contextmanager
def _own_cancellation() -> Iterator[None]:
    """Let CancelledError out only where this task is cancelled, not for an RPC that we closed."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("closed before the answer was whole") from None
