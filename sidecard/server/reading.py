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


class InTime:
    """Bounds what callers take to send, each by the same time. Not to be shared between loops.

    It is on every call's path, and one timer is enough where the first to begin is the first to be
    late: measured, a timer of its own takes a twentieth of a hit, and `asyncio.timeout` more.
    """

    def __init__(self, body_s: float) -> None:
        self._body_s = body_s
        self._due: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(
        self, coming: Awaitable[_Read], task: asyncio.Task[Any] | None = None
    ) -> _Read:
        """Return what comes; raises TimeoutError when that takes longer.

        `task` is the one that runs, for who knows it already.
        """
        if task is None and (task := asyncio.current_task()) is None:
            msg = "a request is read by a task"
            raise RuntimeError(msg)
        before = task.cancelling()
        loop = asyncio.get_running_loop()
        self._due[task] = loop.time() + self._body_s
        if self._timer is None:
            self._timer = loop.call_later(self._body_s, self._end, loop)
        try:
            return await coming
        except asyncio.CancelledError:
            if task not in self._due and task.uncancel() <= before:
                raise TimeoutError from None
            raise
        finally:
            self._due.pop(task, None)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel who is late, and come back for the next."""
        self._timer = None
        while self._due:
            task, due = next(iter(self._due.items()))
            if due > loop.time():
                self._timer = loop.call_at(due, self._end, loop)
                return
            del self._due[task]
            task.cancel()

    def __repr__(self) -> str:
        return f"<InTime, {len(self._due)} waited for>"


def reading(
    method: Method, body_s: float, parse: Callable[[bytes], Any] = bytes
) -> Callable[[object, Context], Awaitable[Any]]:
    """Return a method as gRPC is to have it, of one that takes what `parse` makes of a request."""
    in_time = InTime(body_s)

    async def read(_: object, context: Context) -> Any:  # noqa: ANN401  # as the method's
        try:
            payload = await in_time(context.read())
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
