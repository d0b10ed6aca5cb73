"""The first floor: the contract on grpc.aio and uvloop, and one prebuilt answer.

`python -m tests.bench.echo PORT [hit]`; ends with its standard input.
"""

import sys
from typing import TYPE_CHECKING, Any, Final

import grpc

from sidecard.v1 import generation_pb2 as pb
from tests.bench import payload
from tests.bench.child import serve_until_stdin_ends

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handlers = dict[str, grpc.RpcMethodHandler[Any, Any]]

SERVICE: Final = "sidecard.v1.GenerationService"


def answer(message: dict[str, Any]) -> pb.GenerateResponse:
    """Return the upstream's message in the contract's words, as little of it as is an answer."""
    text = message["content"][0]["text"]
    usage = message["usage"]
    return pb.GenerateResponse(
        content=[{"text": {"text": text}}],
        text=text,
        stop_reason=message["stop_reason"],
        model=message["model"],
        message_id=message["id"],
        usage={"input_tokens": usage["input_tokens"], "output_tokens": usage["output_tokens"]},
    )


async def serve(port: int, handlers: "Handlers") -> grpc.aio.Server:
    """Start a server of the contract with some of its methods."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server


def hit(said: pb.GenerateResponse) -> pb.GenerateResponse:
    """Return the answer with as many bytes as the daemon's, when it is from the cache."""
    said.request_id = said.request_id or "60d45278f92600000004"
    said.target, said.source = payload.MODEL, pb.SOURCE_CACHE_EXACT
    said.usage.Clear()
    said.usage.SetInParent()
    said.age.FromMilliseconds(1_234)
    said.timings.total.FromNanoseconds(123_456)
    said.timings.first_event.FromNanoseconds(123_456)
    return said


async def _serve(port: int) -> grpc.aio.Server:
    said = answer(payload.message())
    if "hit" in sys.argv:
        said = hit(said)

    async def generate(_request: pb.GenerateRequest, _context: "Context") -> pb.GenerateResponse:
        return said

    return await serve(
        port,
        {
            "Generate": grpc.unary_unary_rpc_method_handler(
                generate,
                request_deserializer=pb.GenerateRequest.FromString,
                response_serializer=pb.GenerateResponse.SerializeToString,
            )
        },
    )


if __name__ == "__main__":
    serve_until_stdin_ends(_serve)
