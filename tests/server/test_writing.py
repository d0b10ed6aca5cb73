"""A call that is cut in its first write still ends with a status."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from sidecard.server import writing
from tests.support.rpc import failure


async def _bare(write: Awaitable[None]) -> None:
    await write


async def told(how: Callable[[Awaitable[None]], Awaitable[None]]) -> str:
    """Return what a caller hears of a call that is cancelled in its first write, and aborted."""

    async def answer(_: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            await how(context.write(b"first"))
        except asyncio.CancelledError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "why")

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_stream_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", {"m": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: grpc.aio.UnaryStreamMultiCallable[Any, Any] = channel.unary_stream("/s/m")
            call = stub(b"", timeout=2)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                assert [part async for part in call] == [b"first"]
            return failure(raised.value).message
    finally:
        await server.stop(0)


async def test_who_is_cut_in_the_first_write_hears_why() -> None:
    """After it was written; without that gRPC refuses the status, which the second half shows."""
    assert await told(writing.first) == "why"
    assert await told(_bare) != "why"


async def test_what_is_written_returns_or_fails_as_it_is() -> None:
    """And a write that nobody takes is given up with its call."""
    await writing.first(asyncio.sleep(0))

    async def fail() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await writing.first(fail())
    stuck = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(writing.first(stuck))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stuck.cancelled()
