"""Ask the sidecard daemon beside you: `Client().generate("hello").text`.

`Client` blocks, `AsyncClient` awaits; both take the same arguments (`Options`),
give a `Reply` or a stream of events, and raise `SidecardError`s named by reason.
"""

from sidecard_client.aio import AsyncClient, AsyncStream
from sidecard_client.client import Client, Stream
from sidecard_client.errors import (
    BreakerOpen,
    BudgetExhausted,
    DeadlineExceeded,
    InvalidCall,
    InvalidOutput,
    NotCached,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ShuttingDown,
    SidecardError,
    Unauthenticated,
    Unavailable,
    UpstreamInterrupted,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
    Violation,
)
from sidecard_client.reply import Reply
from sidecard_client.request import Options
from sidecard_client.tls import Tls

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "BreakerOpen",
    "BudgetExhausted",
    "Client",
    "DeadlineExceeded",
    "InvalidCall",
    "InvalidOutput",
    "NotCached",
    "Options",
    "Overloaded",
    "PermissionDenied",
    "RateLimited",
    "Reply",
    "ShuttingDown",
    "SidecardError",
    "Stream",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "UpstreamInterrupted",
    "UpstreamMisconfigured",
    "UpstreamRefused",
    "UpstreamThrottled",
    "UpstreamUnavailable",
    "Violation",
]
