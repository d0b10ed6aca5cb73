"""A caller with nothing but the generated stubs, and what it learns from a failed call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.generation_pb2_grpc import GenerationServiceStub

if TYPE_CHECKING:  # The stub's asynchronous side exists for type checkers only.
    from sidecard.v1.generation_pb2_grpc import GenerationServiceAsyncStub

    Caller = GenerationServiceAsyncStub
else:
    Caller = GenerationServiceStub

UNLIMITED = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True)
class Failure:
    """A failed call: the status code's name, and what the details say."""

    code: str
    message: str
    reason: str
    metadata: dict[str, str]
    retry_after_s: float | None
    fields: list[str]


def failure(error: grpc.aio.AioRpcError) -> Failure:
    """Read the rich status of a failed call."""
    trailers = dict(error.trailing_metadata() or ())
    status = Status.FromString(trailers.get("grpc-status-details-bin", b""))
    info, retry, bad = ErrorInfo(), RetryInfo(), BadRequest()
    delay = None
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
        if detail.Unpack(retry):
            delay = retry.retry_delay.ToTimedelta().total_seconds()
    return Failure(
        code=error.code().name,
        message=error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        retry_after_s=delay,
        fields=[violation.field for violation in bad.field_violations],
    )


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Caller]:
    """Return a stub for the daemon at `address`."""
    target = address.replace("unix://", "unix:")
    async with grpc.aio.insecure_channel(target, options=UNLIMITED) as channel:
        yield Caller(channel)


async def fails(call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> Failure:
    """Return how the call failed; an answer is a failure of the test."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return failure(error)
    raise AssertionError(f"answered: {answer}")


@dataclass
class Streamed:
    """What a stream delivered before it ended, and how it ended: `failure` is None for OK."""

    messages: list[pb.StreamGenerateResponse]
    failure: Failure | None

    @property
    def text(self) -> str:
        return "".join([e.text_delta for m in self.messages for e in m.events])

    @property
    def whole(self) -> bool:
        """Whether the stream said that it is complete."""
        return bool(self.messages) and self.messages[-1].HasField("response")


async def read(call: "grpc.aio.UnaryStreamCall[Any, pb.StreamGenerateResponse]") -> Streamed:
    """Read a stream to its end, good or bad."""
    streamed = Streamed([], None)
    try:
        async for message in call:
            streamed.messages.append(message)
    except grpc.aio.AioRpcError as error:
        streamed.failure = failure(error)
    return streamed
