"""gRPC's own health service, whose requests are read within a time."""

from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from sidecard.server.reading import reading

if TYPE_CHECKING:
    from google.protobuf.message import Message


def handler(servicer: health.aio.HealthServicer, body_s: float) -> grpc.GenericRpcHandler:
    """Return the service as a server takes it."""
    parse, serialize = HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
    methods: dict[str, grpc.RpcMethodHandler[bytes, Message]] = {
        "Check": grpc.stream_unary_rpc_method_handler(
            reading(servicer.Check, body_s, parse), response_serializer=serialize
        ),
        "Watch": grpc.stream_stream_rpc_method_handler(
            reading(servicer.Watch, body_s, parse), response_serializer=serialize
        ),
    }
    return grpc.method_handlers_generic_handler(health.SERVICE_NAME, methods)
