"""A model that is sure of what it wants to say: it goes on with it from any prefill."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import TypeAlias

from sidecard.core.call import Call
from sidecard.core.errors import UpstreamInterrupted, UpstreamRefused
from sidecard.core.event import Batch, BlockStarted, BlockStopped, Delta, Event, Finished, Usage
from sidecard.core.fold import unfold
from sidecard.core.jsonio import JsonObject
from sidecard.core.message import Message
from sidecard.core.reply import Head, Reply, Source
from tests.support.clock import ManualClock
from tests.support.script import ScriptedStream, a_message

Cut: TypeAlias = tuple[int, int]
"""Where a stream breaks: after so many events, and so many characters of the next one's text."""

AT_FIRST = Usage(input_tokens=10, output_tokens=1, cache_read_tokens=2)
AT_LAST = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=2, web_search_requests=1)
"""What each stream reports as used."""


def text(said: str, **more: object) -> JsonObject:
    """Return a text block."""
    return {"type": "text", "text": said, **more}


def cuts(events: Sequence[Event]) -> Iterator[Cut]:
    """Return every place where a stream of those events can break before it is whole."""
    for index, event in enumerate(events):
        for at in range(max(len(_text(event)), 1)):
            yield index, at


def broken(events: Sequence[Event], cut: Cut) -> list[Event]:
    """Return what comes before the cut."""
    index, at = cut
    kept = list(events[:index])
    event = events[index]
    if at and isinstance(event, Delta):
        kept.append(Delta(event.index, {**event.delta, "text": _text(event)[:at]}))
    return kept


def batches(events: Sequence[Event], chance: Random) -> list[Batch]:
    """Return the events as some reads may bring them, texts in some pieces."""
    pieces = [piece for event in events for piece in _pieces(event, chance)]
    reads: list[Batch] = []
    while pieces:
        size = chance.randint(1, 4)
        reads.append(tuple(pieces[:size]))
        del pieces[:size]
    return reads


def _text(event: Event) -> str:
    given = event.delta.get("text", "") if isinstance(event, Delta) else ""
    assert isinstance(given, str)
    return given


def _pieces(event: Event, chance: Random) -> Iterator[Event]:
    said = _text(event)
    if not isinstance(event, Delta) or len(said) < 2:
        yield event
        return
    while said:
        size = chance.randint(1, 5)
        yield Delta(event.index, {**event.delta, "text": said[:size]})
        said = said[size:]


class Author:
    """A handler that says `message` at every target, and breaks off at each of `breaks` in turn.

    It takes what the API takes: no blank prefill, none that ends in whitespace,
    and none at all at the targets in `refusing`.
    """

    def __init__(
        self,
        message: Message,
        breaks: Sequence[Cut] = (),
        *,
        chance: Random | None = None,
        refusing: Sequence[str] = (),
    ) -> None:
        self.message = message
        self.clock = ManualClock()
        self.calls: list[Call] = []
        self.streams: list[ScriptedStream] = []
        self.said: list[list[Event]] = []
        self.breaks = list(breaks)
        self._chance = chance or Random(0)  # noqa: S311  # a test's
        self._refusing = refusing

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        target = call.target.name
        attempt = call.trail.begin(target, self.clock.now())
        given = _prefill(call)
        if given and target in self._refusing:
            attempt.error = "UPSTREAM_REFUSED"
            raise UpstreamRefused("no prefill here", target=target)
        events = self.events(given)
        end: list[Batch | BaseException] = []
        if self.breaks:
            events = broken(events, min(self.breaks.pop(0), (len(events) - 1, 0)))
            end.append(UpstreamInterrupted("it broke", target=target))
        self.said.append(events)
        steps = [*batches(events, self._chance), *end]
        self.streams.append(ScriptedStream(steps))
        return Reply(Head(Source.UPSTREAM, target, attempt=attempt), self.streams[-1], self.clock)

    def events(self, given: str = "") -> list[Event]:
        """Return the stream that says what is left to say after `given`."""
        left, content = given, list[JsonObject]()
        for block in self.message.content:
            if block["type"] != "text":
                content.append(block)
                continue
            assert block["text"].startswith(left) or left.startswith(block["text"]), left
            said, left = block["text"][len(left) :], left[len(block["text"]) :]
            if said or (not given and not block["text"]) or self._chance.random() < 0.2:
                content.append({**block, "text": said})
        fields = {"id": f"msg_{len(self.calls)}", "content": tuple(content), "usage": AT_FIRST}
        *events, end = unfold(a_message(**fields))
        return [*events, AT_LAST, end]


def _prefill(call: Call) -> str:
    """Return the text of the assistant's turn at the end, which has to be as the API takes it."""
    last = call.messages[-1]
    if last["role"] != "assistant":
        return ""
    said = "".join([block["text"] for block in last["content"]])
    assert said
    assert said == said.rstrip()
    assert all(block["text"].strip() for block in last["content"])
    return said


def check_order(events: Sequence[Event]) -> None:
    """Assert that blocks are numbered from 0, one is open at a time, and none gets more after."""
    opened, count = None, 0
    for event in events:
        match event:
            case BlockStarted():
                assert opened is None
                assert event.index == count
                opened, count = event.index, count + 1
            case Delta():
                assert event.index == opened
            case BlockStopped():
                assert event.index == opened
                opened = None
            case Finished():
                assert opened is None
            case _:
                pass
