"""Rescue: a stream that breaks after commit goes on at the next target, where the call wants it.

Outside fallback, whose choice of a target may break off later;
inside admission, so that the permit is held until the joined answer has ended.
The next targets are given the conversation with the partial answer as a prefilled turn.
Those that refuse one, or where there can be none, start anew, and the caller is told to drop
what came before. When nobody goes on, the break is what the caller gets.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from itertools import dropwhile, islice, takewhile
from typing import Final, NamedTuple

from sidecard.core.call import Call, Mode, Target
from sidecard.core.clock import Clock
from sidecard.core.errors import SidecardError, UpstreamInterrupted, UpstreamRefused
from sidecard.core.event import Batch, Continued, Event, Restarted, Usage
from sidecard.core.handler import Handler
from sidecard.core.note import StreamRescued
from sidecard.core.ports import NoteSink
from sidecard.core.reply import Reply, Source
from sidecard.core.trail import making
from sidecard.policy.continuation import Prefill, Shown, continuing, following, restarting
from sidecard.policy.splice import Splice, total

_REMEMBERED_S: Final = 3600.0
"""A refusal may have had another reason: after an hour the target is tried again."""
_REMEMBERED: Final = 256
_KIND: Final = "continuation"
_REFUSED: Final = UpstreamRefused("").reason


class Rescued(NamedTuple):
    """A stream to go on with; without `prefill` it is a whole answer of its own."""

    reply: Reply
    prefill: Prefill | None


class Rescue:
    """State: which targets refused a prefilled turn lately. Safe to share."""

    def __init__(self, next_: Handler, *, clock: Clock, notes: NoteSink) -> None:
        self._next = next_
        self._clock = clock
        self.notes = notes
        self._refused: OrderedDict[str, float] = OrderedDict()

    async def __call__(self, call: Call) -> Reply:
        """Pass the call on; only a stream that is to be continued is watched."""
        reply = await self._next(call)
        if (
            call.mode is not Mode.STREAM
            or not call.continues
            or reply.head.source is not Source.UPSTREAM
        ):
            return reply
        joined = _Joined(self, call, reply)
        joined.outer = Reply(reply.head, joined, self._clock)
        return joined.outer

    async def ask(
        self, call: Call, shown: Shown, targets: Sequence[Target], used_tokens: int
    ) -> Rescued | SidecardError | None:
        """Return a stream that goes on, or else why there is none: None when nobody was asked.

        `used_tokens` is the output that was reported for what was shown.
        """
        failure: SidecardError | None = None
        prefill = shown.prefill(call)
        if prefill is not None:
            taking = tuple(takewhile(self._takes, targets))
            if taking and self._may_ask(call):
                tried = len(call.trail)
                request = continuing(call, taking, prefill, used_tokens)
                try:
                    with making(_KIND):
                        return Rescued(await self._next(request), prefill)
                except SidecardError as error:
                    failure = error
                finally:
                    self._learn(call, tried, failure)
            targets = tuple(dropwhile(self._takes, targets))
        if targets and self._may_ask(call):
            try:
                with making(_KIND):
                    return Rescued(await self._next(restarting(call, tuple(targets))), None)
            except SidecardError as error:
                failure = error
        return failure

    def _may_ask(self, call: Call) -> bool:
        return call.attempts_left > 0 and self._clock.now() < call.deadline

    def _takes(self, target: Target) -> bool:
        """Whether nothing says that the target refuses a prefilled turn."""
        until = self._refused.get(target.name)
        return until is None or until <= self._clock.now()

    def _learn(self, call: Call, tried: int, failure: SidecardError | None) -> None:
        """Note who of those asked refused: fallback may have gone on, and tell another error."""
        names = {a.target for a in islice(call.trail, tried, None) if a.error == _REFUSED}
        if isinstance(failure, UpstreamRefused) and failure.target:
            names.add(failure.target)
        for name in names:
            self._refused[name] = self._clock.now() + _REMEMBERED_S
            self._refused.move_to_end(name)
            if len(self._refused) > _REMEMBERED:
                self._refused.popitem(last=False)

    def __repr__(self) -> str:
        return f"<Rescue, {len(self._refused)} targets refused a prefilled turn>"


class _Joined:
    """The `EventStream` of an answer from one target after the other. Owned by one task."""

    __slots__ = (
        "_before",
        "_breaks",
        "_call",
        "_reply",
        "_rescue",
        "_shown",
        "_splice",
        "_void_tokens",
        "outer",
    )

    def __init__(self, rescue: Rescue, call: Call, reply: Reply) -> None:
        self.outer: Reply | None = None
        self._rescue = rescue
        self._call = call
        self._reply = reply
        self._shown = Shown()
        self._before: Usage | None = None
        self._void_tokens = 0
        self._splice: Splice | None = None
        self._breaks: Counter[str] = Counter()

    async def __anext__(self) -> Batch:
        """Return the next batch, of whichever target; raises the break that nobody could mend."""
        while True:
            try:
                batch = await self._reply.__anext__()
            except UpstreamInterrupted as error:
                broken = error
            else:
                batch = self._joined(batch)
                if batch:
                    self._shown.note(batch)
                    return batch
                continue
            return await self._go_on(broken)

    async def aclose(self) -> None:
        """Close the target's stream that is read now; those before have ended."""
        self.outer = None  # It owns this stream, and waits for no garbage collection.
        await self._reply.aclose()

    def _joined(self, batch: Batch) -> Batch:
        """Return what a batch of the current target is within the whole."""
        if self._splice is not None:
            return self._splice(batch)
        if self._before is None:
            return batch
        before = self._before
        return tuple([total(before, e) if type(e) is Usage else e for e in batch])

    async def _go_on(self, error: UpstreamInterrupted) -> Batch:
        """Return the event that says how the stream goes on; raises `error` where it doesn't."""
        ended, broken = self._reply.outcome, self._reply.head.target
        used = error.usage or (ended and ended.usage) or Usage()
        used = self._before = used if self._before is None else total(self._before, used)
        self._breaks[broken] += 1
        targets = following(self._call.route, broken, self._breaks)
        found: Rescued | SidecardError | None = None
        if error.should_retry is not False:
            tokens = used.output_tokens - self._void_tokens
            found = await self._rescue.ask(self._call, self._shown, targets, tokens)
        if isinstance(found, Rescued):
            return self._switch(found, broken, error.reason)
        error.usage = used
        if found is not None:
            error.message = f"{error.message}; and going on failed: {found.message}"
            if (usage := getattr(found, "usage", None)) is not None:
                error.usage = total(used, usage)
        raise error

    def _switch(self, found: Rescued, broken: str, error: str) -> Batch:
        """Read on from another stream; synchronous, so that it is never half done."""
        self._reply, prefill = found
        head, shown, before = self._reply.head, self._shown, self._before or Usage()
        event: Event
        if prefill is not None:
            how, event = "continued", Continued(broken, head.target, error, shown.length)
            self._splice = Splice(
                before=before,
                open_index=shown.open,
                next_index=shown.next_index,
                echo=prefill.echo,
            )
        else:
            how, event = "restarted", Restarted(broken, head.target, error)
            self._splice = None
            self._void_tokens = before.output_tokens
            shown.note((event,))
        if self.outer is not None:
            self.outer.amend(
                target=head.target,
                degraded=True,
                upstream_request_id=head.upstream_request_id,
                rate_limits=head.rate_limits,
                attempt=head.attempt,
            )
        self._rescue.notes(StreamRescued(self._call.request_id, broken, head.target, how, error))
        return (event,)

    def __repr__(self) -> str:
        return f"<_Joined, {self._breaks.total()} breaks, now {self._reply!r}>"
