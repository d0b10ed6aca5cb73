"""Requests of the services beside the calls': read within a time, as theirs are.

To gRPC such a method is a stream of requests, of which one is read. Of unary methods it reads the
request itself, however long that takes to come, before it asks us anything.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError

from sidecard.core.errors import DeadlineExceeded, InvalidCall, SidecardError, Violation
from sidecard.server.arrival import Context
from sidecard.server.status import code_of, message_of

DRIP: Final = "the request didn't come in time (listen.body_s)"
NONE: Final = "none came; a call has one message"

_Read = TypeVar("_Read")

Method = Callable[[Any, Any], Awaitable[Any]]
"""Takes a request and gRPC's context."""


async def in_time(coming: Awaitable[_Read], body_s: float) -> _Read:
    """Return what comes; raises TimeoutError when that takes longer.

    It is on every call's path: `asyncio.timeout` does the same, and takes five times as long.
    """
    if (task := asyncio.current_task()) is None:
        msg = "a request is read by a task"
        raise RuntimeError(msg)
    before = task.cancelling()
    late: list[bool] = []

    def end() -> None:
        late.append(True)
        task.cancel()

    timer = asyncio.get_running_loop().call_later(body_s, end)
    try:
        return await coming
    except asyncio.CancelledError:
        if late and task.uncancel() <= before:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


def reading(
    method: Method, body_s: float, parse: Callable[[bytes], Any] = bytes
) -> Callable[[object, Context], Awaitable[Any]]:
    """Return a method as gRPC is to have it, of one that takes what `parse` makes of a request."""

    async def read(_: object, context: Context) -> Any:  # noqa: ANN401  # as the method's
        try:
            payload = await in_time(context.read(), body_s)
            if not isinstance(payload, bytes):
                raise InvalidCall(Violation("request", NONE))
            request = parse(payload)
        except (TimeoutError, DecodeError, SidecardError) as error:
            told = _told(error)
            await context.abort(code_of(told), message_of(told))
        return await method(request, context)

    return read


def _told(error: Exception) -> SidecardError:
    if isinstance(error, SidecardError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineExceeded(DRIP)
    return InvalidCall(Violation("request", "not a message of this type"))
