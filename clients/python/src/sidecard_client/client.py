"""The client that blocks."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Protocol, Self, Unpack

import grpc

from sidecard.v1.generation_pb2 import CountTokensRequest, StreamGenerateResponse
from sidecard.v1.generation_pb2_grpc import GenerationServiceStub
from sidecard.v1.stream_pb2 import StreamEvent
from sidecard_client.options import OPTIONS
from sidecard_client.progress import Progress
from sidecard_client.reply import Reply
from sidecard_client.request import Caller, Options, Question


class Client(Caller):
    """Calls the daemon over one connection. Safe to share between threads; a context manager.

    See `Caller` for its arguments. It connects at its first call: fork before that.
    """

    @cached_property
    def _channel(self) -> grpc.Channel:
        if (secured := self._secured()) is None:
            return grpc.insecure_channel(self.address, OPTIONS)
        return grpc.secure_channel(self.address, *secured)

    @cached_property
    def _stub(self) -> GenerationServiceStub:
        return GenerationServiceStub(self._channel)

    def generate(self, prompt: str | None = None, **options: Unpack[Options]) -> Reply:
        """Return the whole answer, or raise a `SidecardError`."""
        question = self._ask(prompt, options)
        with question.errors():
            return Reply.of(question.send(self._ready(question).Generate))

    def stream(self, prompt: str | None = None, **options: Unpack[Options]) -> "Stream":
        """Return the answer as it comes. Nothing is sent before the first event is asked for."""
        question = self._ask(prompt, options)
        return Stream(question, lambda: question.send(self._ready(question).StreamGenerate))

    def count_tokens(self, prompt: str | None = None, **options: Unpack[Options]) -> int:
        """Return how many tokens of input the request has; raises as `generate` does."""
        question = self._ask(prompt, options)
        request = CountTokensRequest(request=question.request)
        with question.errors():
            return question.send(self._ready(question).CountTokens, request).input_tokens

    def close(self) -> None:
        """Close the connection; running calls are cancelled. Idempotent."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self, question: Question) -> GenerationServiceStub:
        """Return the stub, at the first call once the daemon takes connections."""
        if self._wait_for_ready_s:
            ready = grpc.channel_ready_future(self._channel)
            try:
                ready.result(self._wait_for_ready_s)
            except grpc.FutureTimeoutError:
                ready.cancel()  # Or a thread would wait on.
                raise question.unready(self._wait_for_ready_s) from None
            self._wait_for_ready_s = 0
        return self._stub


class _Call(Protocol):
    def __next__(self) -> StreamGenerateResponse: ...
    def cancel(self) -> object: ...


class Stream(Progress):
    """The events of one answer in order, or a `SidecardError`. For one thread at a time.

    As a context manager it cancels the call where the block is left early.
    """

    def __init__(self, question: Question, begin: Callable[[], _Call]) -> None:
        super().__init__(question)
        self._begin = begin
        self._call: _Call | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamEvent:
        while not self._pending:
            if self._reached_end():
                raise StopIteration
            with self._errors():
                if self._call is None:
                    self._call = self._begin()
                message = next(self._call, None)
            self._receive(message)
        return self._pending.popleft()

    @property
    def text_stream(self) -> Iterator[str]:
        """The text alone, piece by piece."""
        return (event.text_delta for event in self if event.text_delta)

    def close(self) -> None:
        """Leave: the call is cancelled at once, from any thread. Idempotent."""
        self._leave()
        if self._call is not None:
            self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
