"""Splice: makes the events of a continuation go on where a broken answer stopped.

Its first text goes on in the block that was left open, later blocks follow in number,
and what it used is added to what was used before.
Until it says something new it is as if it hadn't begun:
the whitespace that the prefill had to leave out may come again, in whatever blocks, and is dropped.
"""

from sidecard.core.event import (
    Batch,
    BlockStarted,
    BlockStopped,
    Delta,
    Event,
    Finished,
    Started,
    Usage,
)
from sidecard.policy.continuation import plain


class Splice:
    """Translates one stream, batch by batch. Not to be shared.

    `before` is what was used before it; `open_index` the block that was left open, None for none;
    `next_index` the first number that is free; `echo` the whitespace that may come again.
    """

    __slots__ = ("_at", "_before", "_echo", "_fresh", "_held", "_next", "_open")

    def __init__(
        self, *, before: Usage, open_index: int | None, next_index: int, echo: str
    ) -> None:
        self._before = before
        self._open = open_index
        self._next = next_index
        self._echo = echo
        self._at: dict[int, int] = {}
        self._fresh = True
        self._held: int | None = None

    def __call__(self, batch: Batch) -> Batch:
        """Return the events as the caller is to see them, which may be none."""
        events: list[Event] = []
        for event in batch:
            match event:
                case Delta():
                    self._delta(event, events)
                case BlockStarted():
                    self._started(event, events)
                case BlockStopped():
                    self._stopped(event, events)
                case Usage():
                    events.append(total(self._before, event))
                case Started():
                    pass  # The answer has begun already.
                case Finished():
                    self._close(events)
                    events.append(event)
                case _:
                    events.append(event)
        return tuple(events)

    def _started(self, event: BlockStarted, events: list[Event]) -> None:
        if self._held is not None:
            self._begin(self._held, events)
        if self._fresh and plain(event.block):
            self._held = event.index
            text = event.block["text"]
            self._delta(Delta(event.index, {"type": "text_delta", "text": text}), events)
            return
        self._close(events)
        events.append(BlockStarted(self._number(event.index), event.block))

    def _delta(self, event: Delta, events: list[Event]) -> None:
        delta = event.delta
        if event.index == self._held:
            if delta["type"] == "text_delta":
                text = self._unechoed(delta["text"])
                if not text:
                    return
                delta = {**delta, "text": text}
            self._begin(event.index, events)
        events.append(Delta(self._at[event.index], delta))

    def _stopped(self, event: BlockStopped, events: list[Event]) -> None:
        if event.index == self._held:
            self._held = None  # It said nothing new: the next block may.
        else:
            events.append(BlockStopped(self._at.pop(event.index)))

    def _begin(self, index: int, events: list[Event]) -> None:
        """Let the held block be seen: as more of the open one, or as a new one."""
        self._held, self._fresh = None, False
        if self._open is not None:
            self._at[index], self._open = self._open, None
        else:
            events.append(BlockStarted(self._number(index), {"type": "text", "text": ""}))

    def _close(self, events: list[Event]) -> None:
        """End the open block, as nothing goes on in it."""
        self._fresh = False
        if self._open is not None:
            events.append(BlockStopped(self._open))
            self._open = None

    def _number(self, index: int) -> int:
        at = self._at[index] = self._next
        self._next += 1
        return at

    def _unechoed(self, text: str) -> str:
        """Return the text without what it repeats."""
        echo = self._echo
        same = 0
        while same < min(len(echo), len(text)) and echo[same] == text[same]:
            same += 1
        self._echo = echo[same:] if same == len(text) else ""
        return text[same:]

    def __repr__(self) -> str:
        return f"<Splice {'not begun' if self._fresh else 'begun'}, next block {self._next}>"


def total(before: Usage, now: Usage) -> Usage:
    """Return what two requests used together; `raw` is the later one's."""
    return Usage(
        before.input_tokens + now.input_tokens,
        before.output_tokens + now.output_tokens,
        before.cache_read_tokens + now.cache_read_tokens,
        before.cache_write_tokens + now.cache_write_tokens,
        before.cache_write_1h_tokens + now.cache_write_1h_tokens,
        before.web_search_requests + now.web_search_requests,
        now.raw,
        before.apart + now.apart,
        before.odd or now.odd,
    )
