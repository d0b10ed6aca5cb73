"""Replies: a head now, a stream of events as it comes, and one end that everybody hears of.

Whoever gets a `Reply` owns it: iterate it to its end, fold it with `message()`, or `aclose()` it.
The end comes exactly once: when `Finished` was read, when the stream broke, or when the owner left.
Then the stream is closed and the hooks of `on_end` run, the innermost layer's first;
permits and reservations are back by the time that the last event is delivered.
"""

import asyncio
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Protocol, Self

from sidecard.core.clock import Clock
from sidecard.core.errors import UpstreamInterrupted
from sidecard.core.event import NO_USAGE, Batch, Finished, Usage
from sidecard.core.fold import Folder, unfold
from sidecard.core.message import Message
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.rate_limits import RateLimits
from sidecard.core.trail import Attempt

_log = logging.getLogger(__name__)


class Source(Enum):
    """Where an answer came from."""

    UPSTREAM = "upstream"
    CACHE_EXACT = "cache_exact"
    CACHE_SEMANTIC = "cache_semantic"
    CACHE_STALE = "cache_stale"
    COALESCED = "coalesced"
    STATIC = "static"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an answer when it is committed to.

    `degraded`: it isn't what the route's first target would have answered now.
    `upstream_request_id` is the upstream's own id of the request, empty without one,
    and `rate_limits` what it said of those; `attempt` is the one that answered.
    `age_s` is how many seconds ago an answer was given that comes from a cache.
    """

    source: Source
    target: str
    degraded: bool = False
    upstream_request_id: str = ""
    rate_limits: RateLimits | None = None
    attempt: Attempt | None = None
    age_s: float | None = None


_MAY_CHANGE: Final = ("target", "degraded", "upstream_request_id", "rate_limits", "attempt")
"""Of a head, when its stream goes on at another target."""


class EventStream(Protocol):
    """What a reply reads from: batches of events, then `StopAsyncIteration`."""

    async def __anext__(self) -> Batch:
        """Return what the next read brought."""
        ...

    async def aclose(self) -> None:
        """Let go of everything at once; may be called at any point, is called once."""
        ...


EndHook = Callable[[Outcome], None]


class Reply:
    """A committed answer: single use, owned by one task at a time.

    Iterating yields batches and raises `UpstreamInterrupted` where the stream broke.
    """

    __slots__ = (
        "_clock",
        "_first_event_at",
        "_hooks",
        "_record",
        "_stream",
        "_usage",
        "head",
        "outcome",
    )

    def __init__(self, head: Head, stream: EventStream, clock: Clock) -> None:
        self.head = head
        self.outcome: Outcome | None = None
        self._clock = clock
        self._stream = stream
        self._hooks: list[EndHook] = []
        self._usage: Usage | None = None
        self._first_event_at: float | None = None
        self._record: list[Batch] | None = None

    @classmethod
    def whole(cls, head: Head, message: Message, clock: Clock) -> Self:
        """Return a reply whose answer is all there, so that it can't break."""
        reply = cls(head, _Whole(message), clock)
        reply._usage = message.usage
        return reply

    def amend(self, **changes: object) -> None:
        """Change fields of the head, as an outer layer that knows more does."""
        self.head = replace(self.head, **changes)  # type: ignore[arg-type]

    def follow(self, head: Head) -> None:
        """Take over what changes in a head when its stream goes on at another target."""
        self.amend(**{name: getattr(head, name) for name in _MAY_CHANGE})

    @property
    def at_hand(self) -> Message | None:
        """The answer, where all of it is there before anybody has read it."""
        stream = self._stream
        return stream.message if type(stream) is _Whole else None

    def revise(self, message: Message) -> None:
        """Put a message in the place of the one at hand, as who checked it does; not its usage."""
        stream = self._stream
        if type(stream) is not _Whole:
            msg = "only an answer that is at hand can be revised"
            raise RuntimeError(msg)
        stream.message = message

    def record(self) -> list[Batch]:
        """Return the list to which every batch is added that is read from now on, before the end.

        Whoever asks gets the same one, to read. Only a reply that is read as a stream is recorded.
        """
        if self._record is None:
            self._record = []
        return self._record

    def on_end(self, hook: EndHook) -> None:
        """Have `hook` called once with the outcome; at once if the end was already."""
        if self.outcome is None:
            self._hooks.append(hook)
        else:
            _run(hook, self.outcome)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        if self.outcome is not None:
            raise self._ended(self.outcome)
        try:
            batch = await self._stream.__anext__()
        except StopAsyncIteration:
            error = UpstreamInterrupted("the stream ended before the answer was whole")
            await self._end(Ending.FAILED, error)
            raise error from None
        except asyncio.CancelledError as error:
            await self._end(Ending.ABANDONED, error)
            raise
        except BaseException as error:
            await self._end(Ending.FAILED, error)
            raise
        self._note(batch)
        if type(last := batch[-1]) is Finished:
            await self._end(Ending.COMPLETED, stop_reason=last.stop_reason)
        return batch

    async def message(self) -> Message:
        """Read to the end and return the whole answer; raises what iterating would."""
        stream = self._stream
        if type(stream) is _Whole and self.outcome is None:
            self._first_event_at = self._clock.now()
            await self._end(Ending.COMPLETED, stop_reason=stream.message.stop_reason)
            return stream.message
        folder = Folder()
        async for batch in self:
            folder.add(batch)
        return folder.message()

    async def aclose(self) -> None:
        """Leave. Idempotent; a reply that has ended stays as it ended."""
        await self._end(Ending.ABANDONED)

    def _note(self, batch: Batch) -> None:
        if self._first_event_at is None:
            self._first_event_at = self._clock.now()
        if self._record is not None:
            self._record.append(batch)
        for event in batch:
            if type(event) is Usage:
                self._usage = event

    async def _end(
        self, ending: Ending, error: BaseException | None = None, *, stop_reason: str = ""
    ) -> None:
        if self.outcome is not None:
            return
        # Who shares an answer sees what it used, and used nothing: it would be counted twice.
        usage = NO_USAGE if self.head.source is Source.COALESCED else self._usage
        outcome = self.outcome = Outcome(
            ending, usage, error, self._first_event_at, self._clock.now(), stop_reason
        )
        try:
            await self._stream.aclose()
        finally:
            hooks, self._hooks = self._hooks, []
            for hook in hooks:
                _run(hook, outcome)

    @staticmethod
    def _ended(outcome: Outcome) -> BaseException:
        if outcome.ending is Ending.COMPLETED:
            return StopAsyncIteration()
        if outcome.ending is Ending.FAILED and outcome.error is not None:
            return outcome.error
        return RuntimeError("this reply was closed before its end")

    def __del__(self) -> None:
        if self.outcome is None:
            warnings.warn(f"{self!r} was neither read to its end nor closed", ResourceWarning, 2)

    def __repr__(self) -> str:
        state = "open" if self.outcome is None else self.outcome.ending.value
        return f"<Reply {state}, {self.head.source.value} from {self.head.target}>"


class _Whole:
    """The stream of an answer that is all there: one batch."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message

    async def __anext__(self) -> Batch:
        return unfold(self.message)

    async def aclose(self) -> None:
        pass


def _run(hook: EndHook, outcome: Outcome) -> None:
    """Run a hook so that its failure keeps no other from being run."""
    try:
        hook(outcome)
    except Exception:  # noqa: BLE001  # logged, and the other hooks have to run
        _log.exception("an end hook failed", extra={"hook": repr(hook)})
