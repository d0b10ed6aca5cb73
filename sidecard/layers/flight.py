"""A flight: one call of the next handler in a task of its own, and the callers who share it.

It runs in the mode of the call that started it. A stream's batches are kept until it has ended,
one list for all readers: who comes late reads it from the start and then goes on live.
It is read no more than a little ahead of its fastest reader, and waits for none of the slower.
A whole answer can be joined until the one who speaks for it has it: who comes between would find
neither a flight nor what was kept. Who asked for a stream gets it as packed events.

As any caller may leave, none of them runs it; when the last leaves, it is cancelled at once.
One of them speaks for it: the first, or when that left before the end, the next in line.
Its answer is as the handler gave it, where the others' say COALESCED;
so there is one caller, as long as there are any, whose answer is to be counted and kept.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecard.core.call import Call, Mode, Priority
from sidecard.core.clock import Clock
from sidecard.core.event import Batch
from sidecard.core.fold import fold
from sidecard.core.handler import Handler
from sidecard.core.reply import Head, Reply
from sidecard.core.trail import Trail
from sidecard.layers.tee import Place, Tee, wake
from sidecard.policy.sharing import copied, retell, shared

if TYPE_CHECKING:
    from sidecard.core.message import Message


class Seat(Place):
    """A caller's place in a flight, and the reply that it has."""

    __slots__ = ("call", "reply")

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call
        self.reply: Reply | None = None


class Flight:
    """Shared by its callers within one event loop. `landed` is told when it can't be joined."""

    def __init__(
        self, next_: Handler, call: Call, *, clock: Clock, landed: Callable[["Flight"], None]
    ) -> None:
        # With a trail and bounds of its own, as it may outlive the caller who started it.
        self._own = replace(call, trail=Trail(call.trail.trace))
        self._next = next_
        self._clock = clock
        self._landed = landed
        self._seats: dict[Seat, None] = {}
        self._speaker: Seat | None = None
        self._waiting: dict[Place, asyncio.Future[None]] = {}
        self._tee = Tee()
        self._reply: Reply | None = None
        self._handed: Reply | None = None
        self._message: Message | None = None
        self._error: BaseException | None = None
        self._over = self._hurried = False
        self._task = asyncio.ensure_future(self._fly())

    @property
    def open(self) -> bool:
        """Whether it can be joined: it runs, or all that it gave is at hand."""
        if not self._over:
            return True
        handed = self._handed
        return self._error is None and (handed is None or handed.at_hand is not None)

    async def board(self, call: Call) -> Reply:
        """Return a reply of the call's own; raises the flight's error when there is none."""
        seat = self._seat(call)
        live = call.mode is Mode.STREAM and self._own.mode is Mode.STREAM
        try:
            if not live:
                self._tee.want_all()
            while not self._over and (self._reply is None or not live):
                turn = self._waiting[seat] = asyncio.get_running_loop().create_future()
                await turn
            if live and self._reply is not None:
                return self._reading(seat, self._reply)
            return await self._whole(seat)
        except BaseException:
            if self._handed is not None and seat is self._speaker and len(self._seats) == 1:
                await self._handed.aclose()
            await self.leave(seat)
            raise

    def _seat(self, call: Call) -> Seat:
        """Take the call in; what bounds the flight widens to what bounds the call."""
        own, seat = self._own, Seat(call)
        # The layers behind read these when they decide, and nobody else has this copy.
        if call.deadline > own.deadline:
            object.__setattr__(own, "deadline", call.deadline)
        if call.priority is Priority.INTERACTIVE and own.priority is not call.priority:
            object.__setattr__(own, "priority", call.priority)
            # In the line of those who have time it takes its place anew, if nothing is paid yet.
            if own.trail.waits and not own.trail.sent:
                self._hurried = True
                self._task.cancel()
        self._seats[seat] = None
        if self._speaker is None:
            self._speaker = seat
        return seat

    def _reading(self, seat: Seat, inner: Reply) -> Reply:
        """Return a reply that reads along."""
        reader = _Reader(self, seat, inner)
        reply = seat.reply = Reply(self._head(seat, inner), reader, self._clock)
        return reply

    async def _whole(self, seat: Seat) -> Reply:
        """Return a reply that is all there; raises the error if it isn't."""
        if seat is self._speaker and self._own.mode is Mode.UNARY:
            # Once it has read the answer, which waits for nothing, that is kept.
            asyncio.get_running_loop().call_soon(self._landed, self)
        if self._handed is not None:
            if seat is self._speaker:
                # It has the reply as it is, and hears of its end as all behind do.
                del self._seats[seat]
                self._handed.on_end(lambda _: self._tell(seat))
                return self._handed
            self._message = self._handed.at_hand
        if self._error is not None or self._reply is None:
            raise self._failure()
        if self._message is None:
            self._message = fold(self._tee.batches)
        reply = seat.reply = Reply.whole(self._head(seat, self._reply), self._message, self._clock)
        await self.leave(seat)
        return reply

    def _head(self, seat: Seat, inner: Reply) -> Head:
        return inner.head if seat is self._speaker else shared(inner.head)

    async def read(self, seat: Seat) -> Batch:
        """Return the next batch for a seat; raises what broke the stream."""
        batch = await self._tee.take(seat)
        if batch is None:
            raise self._failure()
        return batch

    def _failure(self) -> BaseException:
        """Return the error for one caller, who may change it: a copy, if there are others."""
        error = self._error
        if isinstance(error, asyncio.CancelledError) or error is None:
            return asyncio.CancelledError()
        return error if len(self._seats) == 1 else copied(error)

    async def leave(self, seat: Seat) -> None:
        """Give up a seat; the last one ends the flight, and returns when that has ended."""
        if seat not in self._seats:
            return
        del self._seats[seat]
        self._waiting.pop(seat, None)
        self._tee.forget(seat)
        served = self._error is not None or seat.reply is not None
        if self._seats and seat is self._speaker and not (self._over and served):
            self._pass_on(seat)
        try:
            if not self._seats and not self._over:
                self._landed(self)
                self._hurried = False
                self._task.cancel()
                await _ended(self._task)
        finally:  # Cancelled once more meanwhile, it has left all the same.
            if seat is self._speaker or seat.reply is not None:
                self._tell(seat)
            if not self._seats:
                self._error = None  # Its traceback holds the frames that hold this.
                self._landed(self)

    def _pass_on(self, left: Seat) -> None:
        """Have the next in line speak for the flight, instead of one who left."""
        following = self._speaker = next(iter(self._seats))
        if self._reply is not None:
            for seat in (left, following):
                if seat.reply is not None:
                    seat.reply.amend(source=self._head(seat, self._reply).source)

    def _tell(self, seat: Seat) -> None:
        """Write what was tried on the trail of a caller who leaves."""
        retell(self._own.trail, seat.call.trail, paid=seat is self._speaker)

    async def _asked(self) -> Reply:
        """Ask the next handler, and once more if the call turned urgent while it was in line."""
        try:
            return await self._next(self._own)
        except asyncio.CancelledError:
            if not self._hurried:
                raise
        self._task.uncancel()
        return await self._next(self._own)

    async def _fly(self) -> None:
        try:
            reply = self._reply = await self._asked()
            if not self._seats:  # Cancelled, which somebody behind ignored.
                await reply.aclose()
            elif self._own.mode is Mode.STREAM:
                wake(self._waiting)
                await self._tee.fill(reply)
            elif len(self._seats) == 1:
                self._handed = reply
            else:
                self._message = await reply.message()
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._over = True
            if self._error is not None or self._own.mode is Mode.STREAM or not self._seats:
                self._landed(self)
            self._tee.end()
            wake(self._waiting)

    def __repr__(self) -> str:
        state = "landed" if self._over else "open" if self._reply is None else "answered"
        return f"<Flight {state}, {len(self._seats)} callers, {self._tee!r}>"


class _Reader:
    """The `EventStream` of one caller. Owned by one task."""

    __slots__ = ("_flight", "_head", "_inner", "_seat")

    def __init__(self, flight: Flight, seat: Seat, inner: Reply) -> None:
        self._flight = flight
        self._seat = seat
        self._inner = inner
        self._head = inner.head

    async def __anext__(self) -> Batch:
        """Return the next batch; a head that has changed on the way is told with it."""
        batch = await self._flight.read(self._seat)
        head, reply = self._inner.head, self._seat.reply
        if head is not self._head and reply is not None:
            self._head = head
            reply.follow(head)
        return batch

    async def aclose(self) -> None:
        """Leave the flight."""
        await self._flight.leave(self._seat)
        self._seat.reply = None  # It owns this stream, and waits for no garbage collection.


async def _ended(task: "asyncio.Task[None]") -> None:
    """Return when the task has ended; a cancellation meanwhile is raised after that."""
    left: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            left = error
    if left is not None:
        raise left
