"""Requests that must succeed: a transport, and the meaning of every way that it can fail."""

import asyncio
from collections.abc import Mapping

from sidecard.core.clock import Clock
from sidecard.core.jsonio import JsonObject
from sidecard.upstream import classify
from sidecard.upstream.transport import (
    NONE,
    Misconfigured,
    OutOfResources,
    Response,
    Transport,
    TransportFault,
)

ERROR_BODY_BYTES = 65_536
"""How much of an error's body is looked at; the API's own are under 1 KiB."""


_ERROR_BODY_S = 2.0
"""How long an error's body is waited for: its status is known, and must not be lost to it."""


class Client:
    """Posts to the upstream and returns answers with status 200 only. Safe to share."""

    def __init__(self, transport: Transport, *, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock

    async def post(
        self, path: str, body: JsonObject, headers: Mapping[str, str] = NONE, *, target: str
    ) -> Response:
        """Return the answer, its body unread; raises for all but a 200.

        That is an `UpstreamError`, or `Overloaded` where this machine couldn't send.
        """
        try:
            response = await self._transport.send(path, body, headers)
        except OutOfResources as want:
            raise classify.from_want(want, target=target) from want
        except TransportFault as fault:
            raise classify.from_fault(fault, target=target) from fault
        except Misconfigured as problem:
            raise classify.from_misconfigured(problem, target=target) from problem
        if response.status == 200:  # noqa: PLR2004
            return response
        try:
            async with asyncio.timeout(_ERROR_BODY_S):
                content = await read_at_most(response, ERROR_BODY_BYTES)
        except (TransportFault, TimeoutError):
            content = b""  # The status says enough.
        finally:
            await response.aclose()
        raise classify.from_status(
            response.status, response.headers, content, target=target, wall=self._clock.wall()
        )


async def read_at_most(response: Response, limit_bytes: int) -> bytes:
    """Return the body, or its beginning once more than `limit_bytes` of it have come.

    Raises `TransportFault`.
    """
    chunks: list[bytes] = []
    size = 0
    while size <= limit_bytes and (data := await response.read()):
        chunks.append(data)
        size += len(data)
    return b"".join(chunks)
