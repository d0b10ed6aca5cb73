"""The second floor: the contract relayed over aiohttp, with no policy at all.

No validation, no timeout, no log, no classification: what any daemon of this shape has to pay.
`python -m tests.bench.relay PORT UPSTREAM_PORT`; ends with its standard input.
"""

import json
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import grpc
from yarl import URL

from sidecard.v1 import generation_pb2 as pb
from sidecard.v1 import stream_pb2
from tests.bench import echo, payload
from tests.bench.child import serve_until_stdin_ends

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

_HEADERS: Final = {
    "authorization": "Bearer test",
    "anthropic-version": "2026-10-21",
    "content-type": "application/json",
    "accept-encoding": "identity",
}


class Relay:
    """Passes each call on, and the answer back. Made within the running event loop."""

    def __init__(self, upstream_port: int) -> None:
        self._url = URL(f"http://127.0.0.1:{upstream_port}/v1/messages")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def generate(
        self, request: pb.GenerateRequest, _context: "Context"
    ) -> pb.GenerateResponse:
        """Ask for the whole answer, unstreamed."""
        body = payload.request(request.prompt, stream=False)
        async with self._session.post(self._url, data=body, headers=_HEADERS) as response:
            return echo.answer(json.loads(await response.read()))

    async def stream_generate(
        self, request: pb.GenerateRequest, _context: "Context"
    ) -> AsyncIterator[pb.StreamGenerateResponse]:
        """Ask for a stream; what one read brings is one message, as the daemon has it."""
        body, rest = payload.request(request.prompt, stream=True), b""
        async with self._session.post(self._url, data=body, headers=_HEADERS) as response:
            while chunk := await response.content.readany():
                *lines, rest = (rest + chunk).split(b"\n")
                if texts := _texts(lines):
                    events = [stream_pb2.StreamEvent(text_delta=text) for text in texts]
                    yield pb.StreamGenerateResponse(events=events)


def _texts(lines: list[bytes]) -> list[str]:
    """Return the text of each delta among the lines of a stream."""
    events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
    return [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]


async def _serve(port: int) -> grpc.aio.Server:
    relay = Relay(int(sys.argv[2]))
    return await echo.serve(
        port,
        {
            "Generate": grpc.unary_unary_rpc_method_handler(
                relay.generate,
                request_deserializer=pb.GenerateRequest.FromString,
                response_serializer=pb.GenerateResponse.SerializeToString,
            ),
            "StreamGenerate": grpc.unary_stream_rpc_method_handler(
                relay.stream_generate,
                request_deserializer=pb.GenerateRequest.FromString,
                response_serializer=pb.StreamGenerateResponse.SerializeToString,
            ),
        },
    )


if __name__ == "__main__":
    serve_until_stdin_ends(_serve)
