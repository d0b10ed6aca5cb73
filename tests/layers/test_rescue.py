"""`Rescue`: a broken stream goes on elsewhere, and nothing of its text is lost or said twice."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.call import Call, FallbackPolicy, Mode, Target
from sidecard.core.errors import (
    UpstreamInterrupted,
)
from sidecard.core.event import Continued, Event, Restarted, Usage
from sidecard.core.handler import Handler
from sidecard.core.jsonio import JsonObject
from sidecard.core.note import StreamRescued
from sidecard.core.outcome import Ending
from sidecard.core.reply import Reply
from sidecard.layers.rescue import Rescue
from sidecard.policy.splice import total
from tests.support.author import Author, Cut, check_order, cuts, text
from tests.support.clock import ManualClock
from tests.support.conformance import Ends, Innermost, LayerConformance
from tests.support.rescuing import A, B, Heard, asked, down, hear
from tests.support.script import (
    HEAD,
    MIDDLE,
    OPENING,
    Script,
    a_call,
    a_message,
)

TOOL: JsonObject = {"type": "tool_use", "id": "t", "name": "look", "input": {"up": [1, 2]}}
THOUGHT: JsonObject = {"type": "thinking", "thinking": "Well, well.", "signature": "c2ln"}
RECORDED: dict[str, tuple[JsonObject, ...]] = {
    "one block": (text("It was a dark night."),),
    "several blocks": (text("One,  "), text("two\n\n"), text("\n three. ")),
    "whitespace": (text(" \n\tA  \n\n\n B \u00a0\u3000 C \n "),),
    "emoji and marks": (text("👩‍👩‍👧 e\u0301\u0323 🇩🇪 \u200b\u2028 né"),),
    "blank block": (text("a "), text("  "), text(" b")),
    "text, then a tool": (text("Let me look: "), TOOL),
    "a thought, then text": (THOUGHT, text("So it is. ")),
    "cited": (text("As it says. ", citations=[{"type": "char_location"}]), text("Yes.")),
}


class TestOff(LayerConformance):
    """Where nobody asked for it, the layer is a pass-through."""

    def layer(self, next_: Handler) -> Handler:
        return Rescue(next_, clock=ManualClock(), notes=lambda _: None)

    async def test_the_reply_is_not_touched(self, mode: Mode) -> None:
        """The same object comes out."""
        reply = Reply.whole(HEAD, a_message(), ManualClock())

        async def answer(_: Call) -> Reply:
            return reply

        assert await self.layer(answer)(a_call(mode=mode)) is reply
        await reply.aclose()


class TestOn(LayerConformance):
    """With it on, only a stream that breaks ends otherwise: when the next one fails, as it did."""

    def layer(self, next_: Handler) -> Handler:
        rescue = Rescue(next_, clock=ManualClock(), notes=lambda _: None)

        async def asked(call: Call) -> Reply:
            return await rescue(replace(call, fallback=FallbackPolicy(continue_stream=True)))

        return asked

    async def test_a_broken_stream_fails_for_all(self, mode: Mode) -> None:
        """A break that nobody mends is raised at the reader, with who failed to and what's used."""
        script = Script([OPENING, MIDDLE, UpstreamInterrupted("it broke")], down("claude-test"))
        inner, outer = Innermost(script), Ends()
        reply = await self.layer(inner)(a_call(mode=mode))
        reply.on_end(outer)
        with pytest.raises(UpstreamInterrupted, match="it broke") as raised:
            await reply.message()
        assert raised.value is outer.only.error
        assert inner.ends.only.ending is outer.only.ending is Ending.FAILED
        assert script.streams[0].closed == 1
        if mode is Mode.STREAM:
            assert raised.value.message == "it broke; and going on failed: down"
            assert raised.value.usage == Usage(input_tokens=7)

    async def test_a_truncated_stream_is_never_whole(self, mode: Mode) -> None:
        """A stream that just stops is broken, whoever was to go on with it."""
        script = Script([OPENING, MIDDLE], [OPENING])
        reply = await self.layer(script)(a_call(mode=mode))
        with pytest.raises(UpstreamInterrupted):
            await reply.message()


def used(said: Sequence[Sequence[Event]]) -> Usage:
    """Return the last usage of each stream, added up."""
    sums = Usage()
    for events in said:
        last = [event for event in events if isinstance(event, Usage)][-1:]
        sums = total(sums, last[0] if last else Usage())
    return sums


def check(author: Author, heard: Heard) -> None:
    """Assert that the caller has the author's message: all of it, once, and in order."""
    wanted, whole = author.message, heard.message
    assert whole.text == wanted.text
    assert heard.seen_by_a_client == wanted.text
    assert [b for b in whole.content if b["type"] != "text"] == [
        b for b in wanted.content if b["type"] != "text"
    ]
    assert all(block.get("text", "-") for block in whole.content)
    assert whole.usage == used(author.said) == heard.ends.only.usage
    assert heard.ends.only.ending is Ending.COMPLETED
    assert [stream.closed for stream in author.streams] == [1] * len(author.streams)
    events = heard.events
    starts = [i + 1 for i, event in enumerate(events) if isinstance(event, Restarted)]
    for start, end in zip([0, *starts], [*starts, None], strict=True):
        check_order(events[start:end])
    shown = 0
    for event in events[starts[-1] if starts else 0 :]:
        if isinstance(event, Continued):
            assert event.text_length == shown
        shown += len(getattr(event, "delta", {}).get("text", ""))
    if starts:
        assert type(events[starts[-1]]).__name__ in {"Started", "Restarted", "Continued"}


def plays(content: tuple[JsonObject, ...], *breaks: Cut, seed: int = 0) -> Author:
    message = a_message(content=content)
    return Author(message, breaks, chance=Random(seed))  # noqa: S311  # a test's


def places(content: tuple[JsonObject, ...]) -> Iterator[Cut]:
    return cuts(plays(content).events())


@pytest.mark.parametrize("content", RECORDED.values(), ids=RECORDED)
async def test_nothing_is_lost_or_said_twice_wherever_it_breaks(
    content: tuple[JsonObject, ...],
) -> None:
    """A stream cut at any event and any character adds up to the same text, for clients too."""
    for seed, cut in enumerate(places(content)):
        author = plays(content, cut, seed=seed)
        heard = await hear(author, asked())
        check(author, heard)
        [rescued] = heard.rescues
        assert isinstance(rescued, Continued) == ("content" in str(author.calls[1].messages[1:]))
        assert (rescued.from_target, rescued.to_target, rescued.error) == (
            "claude-a",
            "claude-b",
            "UPSTREAM_INTERRUPTED",
        )
        how = "continued" if isinstance(rescued, Continued) else "restarted"
        reason = "UPSTREAM_INTERRUPTED"
        assert heard.notes == [StreamRescued("req-1", "claude-a", "claude-b", how, reason)]
        assert heard.target == "claude-b"


@pytest.mark.parametrize("name", ["several blocks", "blank block", "text, then a tool"])
async def test_nothing_is_lost_when_the_continuation_breaks_too(name: str) -> None:
    """The same for any two cuts, the second counted from the beginning of the continuation."""
    content = RECORDED[name]
    for seed, pair in enumerate(product(places(content), repeat=2)):
        author = plays(content, *pair, seed=seed)
        check(author, await hear(author, asked()))
        assert [call.target for call in author.calls] == [A, B, B]


TEXTS = st.text(st.sampled_from("ab \n\t\u00a0é\u0301👩"), min_size=1, max_size=6)
CONTENT = st.lists(TEXTS.map(text) | st.sampled_from([TOOL, THOUGHT]), min_size=1, max_size=4)


@given(CONTENT, st.lists(st.tuples(st.integers(0, 25), st.integers(0, 5)), max_size=3), st.data())
def test_any_answer_survives_any_breaks(
    content: list[JsonObject], breaks: list[Cut], data: st.DataObject
) -> None:
    """Whatever the blocks, and however often it breaks within what may be asked."""
    seed = data.draw(st.integers(0, 99))
    author = plays(tuple(content), *breaks, seed=seed)
    heard = asyncio.run(hear(author, asked(A, Target("claude-c"), B)))
    check(author, heard)
    assert len(heard.rescues) == len(breaks)
