"""One upstream answer while it comes: bytes in, batches of events out.

The same stream serves both sides of the commit.
Before it, failures are raised as what they are, so that they can be retried;
after it, each is an `UpstreamInterrupted` that carries the usage so far.
"""

import asyncio

from sidecard.core.errors import UpstreamError, UpstreamInterrupted, UpstreamUnavailable
from sidecard.core.event import Batch, BlockStopped, Delta, Finished, Usage
from sidecard.upstream import classify
from sidecard.upstream.transport import Response, TransportFault
from sidecard.upstream.wire.events import EventParser

_CONTENT = (Delta, BlockStopped, Finished)
"""What commits: a block's opening alone shows the caller nothing yet."""


class AnswerStream:
    """The `EventStream` over a streamed answer. Owned by one task."""

    __slots__ = ("_held", "_idle_s", "_left_bytes", "_parser", "_response", "_target", "usage")

    def __init__(
        self, response: Response, *, target: str, idle_s: float, max_answer_bytes: int
    ) -> None:
        self.usage: Usage | None = None
        self._response = response
        self._target = target
        self._idle_s = idle_s
        self._left_bytes = max_answer_bytes
        self._parser = EventParser()
        self._held: Batch = ()

    async def await_content(self) -> None:
        """Read up to the first content event and hold all that came: the first-event barrier.

        Raises an `UpstreamError` as long as nothing of the answer was shown.
        Its time is bounded by the caller's first-event timeout, not by the idle timeout.
        """
        held: list[Batch] = []
        while True:
            batch = await self._next(None)
            held.append(batch)
            if any(isinstance(event, _CONTENT) for event in batch):
                break
        self._held = held[0] if len(held) == 1 else tuple([e for batch in held for e in batch])

    async def __anext__(self) -> Batch:
        """Return the next batch; raises `UpstreamInterrupted` where the stream breaks."""
        try:
            return await self.read()
        except UpstreamInterrupted:
            raise
        except UpstreamError as error:
            interrupted = UpstreamInterrupted(error.message, target=self._target)
            interrupted.status = error.status
            interrupted.usage = self.usage
            if self._parser.stopping:
                # The model has said all that it would: to go on elsewhere would add to that.
                interrupted.should_retry = False
            raise interrupted from error

    async def aclose(self) -> None:
        """Let the connection go; it is closed unless the whole answer was read."""
        await self._response.aclose(finished=self._parser.finished)

    async def read(self) -> Batch:
        """Return the next batch; raises an `UpstreamError` as it is, as before the commit."""
        if held := self._held:
            self._held = ()
            return held
        return await self._next(self._idle_s)

    async def _next(self, idle_s: float | None) -> Batch:
        """Read until there is a batch that isn't empty."""
        parser = self._parser
        while True:
            if parser.failure is not None:
                raise self._failed(classify.from_wire(parser.failure, target=self._target))
            data = await self._bytes(idle_s)
            if batch := parser.feed(data):
                for event in batch:
                    if type(event) is Usage:
                        self.usage = event
                return batch
            if not data and parser.failure is None:
                msg = "the answer ended before it was whole"
                raise self._failed(UpstreamUnavailable(msg, target=self._target))

    async def _bytes(self, idle_s: float | None) -> bytes:
        try:
            async with asyncio.timeout(idle_s):
                data = await self._response.read()
        except TimeoutError:
            msg = f"the answer stalled: nothing came for {idle_s:g} s (timeouts.idle_s)"
            raise self._failed(UpstreamUnavailable(msg, target=self._target)) from None
        except asyncio.CancelledError as left:
            left.usage = self.usage  # type: ignore[attr-defined]  # what was used is owed all the same
            raise
        except TransportFault as fault:
            raise self._failed(classify.from_fault(fault, target=self._target)) from fault
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            msg = "the answer is larger than upstream.max_answer_bytes allows"
            error = UpstreamInterrupted(msg, target=self._target)
            error.should_retry = False  # Another would be as large, and cost as much.
            raise self._failed(error)
        return data

    def _failed(self, error: UpstreamError) -> UpstreamError:
        error.usage = self.usage
        return error
