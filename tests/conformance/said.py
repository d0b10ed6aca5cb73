"""The daemon that a vector writes: what it says to every call, word for word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from sidecard.v1 import generation_pb2 as pb
from tests.conformance.vectors import Json
from tests.support.rawserver import unused_port
from tests.support.scripted_daemon import Context, ScriptedDaemon, scripted

_DELIVERED_S = 0.1
KEYS = {"response", "messages", "status", "each", "stalls", "dies", "nobody", "late_s"}


class Heard(ScriptedDaemon):
    """Says what it is told to, and keeps what it heard of each call."""

    def __init__(self, says: Json) -> None:
        super().__init__()
        if unknown := sorted(says.keys() - KEYS):
            raise ValueError(f"daemon_says has no {', '.join(unknown)}")
        self._says = says
        self.heard: list[Json] = []
        self.dies = asyncio.Event()
        self.generate = self._answer
        self.stream = self._stream

    async def _answer(self, request: pb.GenerateRequest, context: Context) -> pb.GenerateResponse:
        await self._end(request, context)
        return json_format.ParseDict(self._says["response"], pb.GenerateResponse())

    async def _stream(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.StreamGenerateResponse]:
        for message in self._says.get("messages", ()):
            yield json_format.ParseDict(message, pb.StreamGenerateResponse())
        await self._end(request, context)

    async def _end(self, request: pb.GenerateRequest, context: Context) -> None:
        if self._says.get("dies"):
            self.dies.set()
        if self._says.get("stalls") or self._says.get("dies"):
            await asyncio.Event().wait()
        if "each" in self._says:
            await _fail(self._says["each"][int(request.prompt)], context)
        if "status" in self._says:
            await _fail(self._says["status"], context)

    def _note(self, request: pb.GenerateRequest, context: Context) -> None:
        super()._note(request, context)
        heard = json_format.MessageToDict(request, preserving_proto_field_name=True)
        remaining = self.time_remaining_s
        self.heard.append(
            {"metadata": self.metadata, "time_remaining_s": remaining, "request": heard}
        )


@asynccontextmanager
async def saying(says: Json) -> AsyncIterator[Heard]:
    """Serve until the block ends: at once, after `late_s`, or, with `nobody`, never.

    With `dies`, what was said is delivered, and then the connection ends, as a killed process's.
    """
    daemon = Heard(says)
    daemon.address = f"127.0.0.1:{unused_port()}"
    async with AsyncExitStack() as stack:

        async def late() -> None:
            await asyncio.sleep(says["late_s"])
            await stack.enter_async_context(scripted(daemon.address, daemon))

        if "late_s" in says:
            task = asyncio.create_task(late())
            yield daemon
            await task
        else:
            if not says.get("nobody"):
                await stack.enter_async_context(scripted(daemon.address, daemon))
            if says.get("dies"):
                daemon.address = await stack.enter_async_context(_mortal(daemon))
            yield daemon


@asynccontextmanager
async def _mortal(daemon: Heard) -> AsyncIterator[str]:
    """Stand before a daemon until it dies; the address is that of its callers' connections."""
    host, _, port = daemon.address.rpartition(":")

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))

        async def pass_on(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                to.write(data)

        async with asyncio.TaskGroup() as group:
            passing = [
                group.create_task(pass_on(reader, inner_writer)),
                group.create_task(pass_on(inner_reader, writer)),
            ]
            await daemon.dies.wait()
            await asyncio.sleep(_DELIVERED_S)
            for task in passing:
                task.cancel()
        writer.close()
        inner_writer.close()

    server = await asyncio.start_server(between, host, 0)
    try:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _fail(status: Json, context: Context) -> NoReturn:
    """End the call with a status as the vectors write it."""
    code = getattr(grpc.StatusCode, status["code"])
    message = status.get("message", "")
    details = Status(code=code.value[0], message=message)
    for detail in _details(status):
        packed = Packed()
        packed.Pack(detail)
        details.details.append(packed)
    raw = b"\xff\xff garbage" if status.get("garbage") else details.SerializeToString()
    await context.abort(code, message, (("grpc-status-details-bin", raw),))
    raise AssertionError


def _details(status: Json) -> list[Message]:
    details: list[Message] = []
    if "reason" in status:
        domain, metadata = status.get("domain", "sidecard.dev"), status.get("metadata", {})
        details.append(ErrorInfo(reason=status["reason"], domain=domain, metadata=metadata))
    if "retry_after_s" in status:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(round(status["retry_after_s"] * 1000))
        details.append(retry)
    if "field" in status:
        details.append(BadRequest(field_violations=[BadRequest.FieldViolation(**status["field"])]))
    if "quota" in status:
        details.append(QuotaFailure(violations=[QuotaFailure.Violation(**status["quota"])]))
    return details


def as_json(message: Message) -> dict[str, Any]:
    """Return a message of the contract as the vectors write it."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
