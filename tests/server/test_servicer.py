"""The servicer itself, where no process is needed to see what it does."""

from typing import Any

import grpc
import pytest

from sidecard.core.call import Call
from sidecard.core.clock import SystemClock
from sidecard.core.ports import Hit
from sidecard.server.arrival import Arrival
from sidecard.server.decode import Decoder
from sidecard.server.servicer import GenerationServicer
from sidecard.v1 import generation_pb2 as pb
from tests.support.script import ROUTE


class Context:
    """A call whose deadline is now; `codes` has what it was ended with."""

    def __init__(self) -> None:
        self.codes: list[grpc.StatusCode] = []

    def time_remaining(self) -> float:
        return 0.0

    def invocation_metadata(self) -> tuple[()]:
        return ()

    async def abort(self, code: grpc.StatusCode, *_: object) -> None:
        self.codes.append(code)
        raise grpc.aio.AbortError


class NoHits:
    """Nothing is at hand."""

    def key(self, call: Call) -> bytes:
        del call
        return b""

    def __call__(self, call: Call, key: bytes, began: float) -> Hit | None:
        del call, key, began
        return None


@pytest.mark.parametrize("method", ["generate", "stream_generate", "count_tokens"])
async def test_a_deadline_that_passed_in_decoding_sends_nothing(method: str) -> None:
    """What can't be answered in time any more is refused before it reaches the stack."""
    reached: list[Call] = []

    async def stack(call: Call) -> Any:
        reached.append(call)

    servicer = GenerationServicer(
        stack,
        hits=NoHits(),
        count=stack,
        decoder=Decoder(routes={"default": ROUTE}, allowed_models=()),
        clock=SystemClock(),
        total_s=600,
    )
    request = pb.GenerateRequest(prompt="x")
    if method == "count_tokens":
        payload = pb.CountTokensRequest(request=request).SerializeToString()
    else:
        payload = request.SerializeToString()
    context = Context()
    arrival = Arrival("req-1", 0.0, 0.0)
    with pytest.raises(grpc.aio.AbortError):
        await getattr(servicer, method)(payload, context, arrival)
    assert context.codes == [grpc.StatusCode.DEADLINE_EXCEEDED]
    assert reached == []
