"""Decoding in tests: a decoder with a few routes, requests in short, and what was wrong."""

import pytest

from sidecard.core.call import Call, Mode, Route, Target
from sidecard.core.errors import InvalidCall
from sidecard.core.trail import Trail
from sidecard.server.decode import Decoder
from sidecard.v1 import generation_pb2 as pb

ROUTES = {
    "default": Route("default", (Target("claude-sonnet-5-5"), Target("claude-haiku-5-5")), 4_096),
    "small": Route("small", (Target("claude-opus-4-1"),), 64_000),
    "own": Route("own", (Target("some-model", max_output_tokens=500),), 100),
    "free": Route("free", (Target("another-model"),), 100),
}


def decoder() -> Decoder:
    return Decoder(routes=ROUTES, allowed_models=["claude-*-4-5*"])


def decode(request: pb.GenerateRequest, prefix: str = "") -> Call:
    """Decode as the service does, after a trip over the wire."""
    request = pb.GenerateRequest.FromString(request.SerializeToString())
    return decoder().decode(
        request, mode=Mode.UNARY, request_id="req-1", deadline=7.0, trail=Trail(), prefix=prefix
    )


def refused(request: pb.GenerateRequest, prefix: str = "") -> dict[str, str]:
    """Return what the decoder finds wrong, field by field; it is a failure if that is nothing."""
    with pytest.raises(InvalidCall) as caught:
        decode(request, prefix)
    return {violation.field: violation.description for violation in caught.value.violations}
