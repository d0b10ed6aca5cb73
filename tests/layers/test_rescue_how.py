"""`Rescue`: who is asked to go on, how often, and what holds when nobody does."""

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sidecard.core.call import Call, FallbackPolicy, LastResort, Target
from sidecard.core.errors import (
    ShuttingDown,
    SidecardError,
    UpstreamInterrupted,
    UpstreamMisconfigured,
)
from sidecard.core.event import Continued, Restarted, Usage
from sidecard.core.handler import Handler
from sidecard.core.outcome import Ending
from sidecard.core.reply import Reply
from sidecard.policy.continuation import Shown
from tests.support.author import Author, text
from tests.support.clock import ManualClock
from tests.support.conformance import Ends
from tests.support.rescuing import ROUTE, A, B, asked, down, hear, rescue
from tests.support.script import MIDDLE, OPENING, WHOLE, Hang, Script, a_message

C = Target("claude-c")
EARLY = (3, 3)
"""A break after three characters of the first text."""


def author(*breaks: tuple[int, int], refusing: Sequence[str] = ()) -> Author:
    return Author(a_message(content=(text("It was a dark night."),)), breaks, refusing=refusing)


class Failing:
    """Some targets fail before they answer; the others are the author's."""

    def __init__(self, inner: Handler, **errors: SidecardError) -> None:
        self._inner = inner
        self.errors = errors

    async def __call__(self, call: Call) -> Reply:
        error = self.errors.get(call.target.name.removeprefix("claude-"))
        if error is not None and len(call.trail):
            call.trail.begin(call.target.name, 0.0).error = error.reason
            raise error
        return await self._inner(call)


def targets(author: Author) -> str:
    """Return whom the author answered for, in a word."""
    return "".join([call.target.name[-1] for call in author.calls])


@pytest.mark.parametrize(
    ("route", "breaks", "asked_for"),
    [
        ((A,), 1, "aa"),
        ((A, B, C), 1, "ab"),
        ((A, B, C), 2, "abc"),
        ((A, B, C), 3, "abcc"),
        ((A, B), 2, "abb"),
    ],
)
async def test_the_next_targets_go_on_then_the_same_once(
    route: tuple[Target, ...], breaks: int, asked_for: str
) -> None:
    """In the route's order, and a target that broke is asked again when no other is left."""
    model = author(*[EARLY] * breaks)
    heard = await hear(model, asked(*route))
    assert targets(model) == asked_for
    assert heard.message.text == "It was a dark night."
    assert [(r.from_target[-1], r.to_target[-1]) for r in heard.rescues] == [
        (asked_for[i], asked_for[i + 1]) for i in range(breaks)
    ]


async def test_a_target_that_breaks_twice_is_given_up() -> None:
    """One more try at the same target, and the second break is the caller's."""
    model = author(EARLY, EARLY)
    heard = await hear(model, asked(A))
    assert targets(model) == "aa"
    assert isinstance(heard.error, UpstreamInterrupted)


async def test_a_later_target_breaking_first_goes_on_after_it() -> None:
    """What counts is who answered: the targets before it had failed the call already."""
    model = author(EARLY)

    async def first_is_down(call: Call) -> Reply:
        if call.target is A and not model.calls:
            raise down("claude-a")
        return await model(call)

    await hear(first_is_down, asked(A, B, C))
    assert targets(model) == "bc"


async def test_what_is_asked_is_the_conversation_with_what_was_shown() -> None:
    """The prefill has all the text, no target writes more than is left, and nothing else stands in.

    What was used is the most of what was reported and a guess from the text.
    """
    model = author((3, 9))
    call = asked(A, B, parameters={"max_tokens": 800, "system": "Be dark."})
    await hear(model, call)
    [_, request] = model.calls
    added = {"role": "assistant", "content": [{"type": "text", "text": "It was a"}]}
    assert request.messages == (*call.messages, added)
    assert request.parameters == {"max_tokens": 500, "system": "Be dark."}
    assert request.trail is call.trail
    assert not request.last_resorts
    small = asked(C, replace(C, model="claude-d"), parameters={"max_tokens": 2})
    await hear(model := author((3, 9)), small)
    assert model.calls[1].parameters["max_tokens"] == 1


async def test_what_became_void_takes_no_tokens_from_the_answer() -> None:
    """After a restart only what the new stream used counts against the tokens asked for."""
    model = author((3, 0), (3, 4))
    heard = await hear(model, asked(A, B, parameters={"max_tokens": 10}))
    assert [type(event) for event in heard.rescues] == [Restarted, Continued]
    assert model.calls[2].parameters["max_tokens"] == 9


async def test_the_head_tells_who_finished() -> None:
    """Target and attempt are the last one's, the answer is degraded, and the trail has both."""
    model = author(EARLY)
    call = asked(A, B)
    reply = await rescue(model)(call)
    before = reply.head
    assert (before.target, before.degraded) == ("claude-a", False)
    await reply.message()
    after = reply.head
    assert (after.target, after.degraded) == ("claude-b", True)
    assert after.attempt is not None
    assert after.attempt.number == 2


@pytest.mark.parametrize("first_down", [True, False], ids=["after another failed", "at once"])
async def test_a_refused_prefill_is_a_restart(*, first_down: bool) -> None:
    """Who takes no prefilled turn starts anew, and is known for it for an hour."""
    clock, model = ManualClock(), author(EARLY, refusing=("claude-b", "claude-c"))
    failing = Failing(model, a=down("claude-a"), b=down("claude-b"))
    layer = rescue(failing if first_down else model, clock=clock)
    heard = await hear(layer, asked(A, B, C))
    last = "c" if first_down else "b"
    assert targets(model) == "a" + last * 2
    assert heard.rescues == [Restarted("claude-a", f"claude-{last}", "UPSTREAM_INTERRUPTED")]
    assert heard.message.text == "It was a dark night."
    assert model.calls[2].messages == model.calls[0].messages
    assert repr(layer) == "<Rescue, 1 targets refused a prefilled turn>"
    for after_s, asks in ((0.0, "a" + last), (3_601.0, "a" + last * 2)):
        clock.advance(after_s)
        model.calls.clear()
        model.breaks.append(EARLY)
        await hear(layer, asked(A, B, C, deadline=clock.now() + 60))
        assert targets(model) == asks


async def test_who_refused_is_known_also_when_another_went_on() -> None:
    """A refusal behind a target that failed doesn't end the walk, and isn't forgotten."""
    model = author(EARLY, refusing=("claude-c",))
    layer = rescue(Failing(model, b=down("claude-b")))
    heard = await hear(layer, asked(A, B, C))
    assert targets(model) == "aca"
    assert isinstance(heard.rescues[0], Continued)
    assert repr(layer) == "<Rescue, 1 targets refused a prefilled turn>"


async def test_targets_before_one_that_refuses_may_continue() -> None:
    """Only from the first that is known to refuse is the answer started anew."""
    model = author(EARLY, refusing=("claude-c",))
    layer = rescue(model)
    await hear(layer, asked(A, C))
    model.breaks.append(EARLY)
    heard = await hear(layer, asked(A, B, C))
    assert isinstance(heard.rescues[0], Continued)
    assert heard.target == "claude-b"


@pytest.mark.parametrize("what", ["attempts", "deadline"])
async def test_nobody_is_asked_without_an_attempt_or_time(what: str) -> None:
    """The break is raised as it was when the cap is reached or the deadline has passed."""
    model, clock = author(EARLY), ManualClock()
    call = asked(A, B, deadline=clock.now() + 5)
    if what == "attempts":
        call = replace(call, route=replace(call.route, max_attempts=1))
    reply = await rescue(model, clock=clock)(call)
    if what == "deadline":
        clock.advance(5)
    with pytest.raises(UpstreamInterrupted) as raised:
        await reply.message()
    assert raised.value.message == "it broke"
    assert len(model.calls) == 1


async def test_a_failed_rescue_is_the_break_with_all_that_was_used() -> None:
    """Both streams' usage is added up, and the error says what going on failed with."""
    model = author(EARLY, EARLY)
    wrong = UpstreamMisconfigured("no key", target="claude-b")
    wrong.usage = Usage(input_tokens=100)

    async def at_first(call: Call) -> Reply:
        if len(model.calls) == 2:
            raise wrong
        return await model(call)

    heard = await hear(at_first, asked(A, B))
    assert isinstance(heard.error, UpstreamInterrupted)
    assert heard.error.target == "claude-b"
    assert heard.error.message == "it broke; and going on failed: no key"
    assert heard.ends.only.ending is Ending.FAILED
    assert heard.ends.only.usage == Usage(20, 2, 4)
    assert heard.error.usage == Usage(120, 2, 4)
    assert [stream.closed for stream in model.streams] == [1, 1]


async def test_no_last_resort_goes_on_with_an_answer() -> None:
    """The route's static text is for calls that were shown nothing."""
    route = replace(ROUTE, last_resorts=frozenset({LastResort.STATIC}), static_message="Sorry.")
    model = Failing(author(EARLY), a=down("claude-a"), b=down("claude-b"))
    heard = await hear(model, asked(route=route))
    assert isinstance(heard.error, UpstreamInterrupted)
    assert heard.rescues == []


@pytest.mark.parametrize("error", [ShuttingDown("bye"), RuntimeError("a bug")])
async def test_only_a_break_of_the_upstream_is_mended(error: Exception) -> None:
    """Whatever else ends a stream ends it."""
    script = Script([OPENING, error], WHOLE)
    reply = await rescue(script)(asked(A, B))
    with pytest.raises(type(error)) as raised:
        await reply.message()
    assert raised.value is error
    assert len(script.calls) == 1


async def test_a_break_that_would_come_again_is_not_mended() -> None:
    """What must not be retried isn't: an answer larger than is allowed would be again."""
    error = UpstreamInterrupted("too large")
    error.should_retry = False
    script = Script([OPENING, error], WHOLE)
    reply = await rescue(script)(asked(A, B))
    with pytest.raises(UpstreamInterrupted, match="too large"):
        await reply.message()
    assert len(script.calls) == 1


@pytest.mark.parametrize("route_says", [True, False])
async def test_the_callers_word_goes_before_the_routes(*, route_says: bool) -> None:
    """A call may ask for what its route doesn't do, and refuse what it does."""
    route = replace(ROUTE, continue_stream=route_says)
    call = asked(route=route, fallback=FallbackPolicy(continue_stream=not route_says))
    model = author(EARLY)
    heard = await hear(model, call)
    assert (heard.error is None) is not route_says
    assert len(model.calls) == (1 if route_says else 2)


async def test_each_stream_ends_once_for_whoever_settles_on_it() -> None:
    """The first has failed before the second is asked for, and the whole ends after both."""
    model, order = author(EARLY), list[str]()

    async def settling(call: Call) -> Reply:
        order.append(f"{call.target.name} asked")
        reply = await model(call)
        reply.on_end(lambda outcome: order.append(f"{call.target.name} {outcome.ending.value}"))
        return reply

    reply = await rescue(settling)(asked(A, B))
    reply.on_end(lambda outcome: order.append(f"whole {outcome.ending.value}"))
    await reply.message()
    assert order == [
        "claude-a asked",
        "claude-a failed",
        "claude-b asked",
        "claude-b completed",
        "whole completed",
    ]


async def test_an_answer_is_freed_when_it_ends() -> None:
    """The joined stream and its reply hold one another only as long as they are read."""

    def kept() -> int:
        return sum(type(thing) is Shown for thing in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = kept()
        await hear(author(), asked(A, B))
        assert kept() == before
    finally:
        gc.enable()


async def test_leaving_while_the_next_target_is_asked_cancels_that() -> None:
    """Nothing is left open or running, and the reply has ended abandoned."""
    script = Script([OPENING, UpstreamInterrupted("it broke")], Hang())
    ends = Ends()
    reply = await rescue(script)(asked(A, B))
    reply.on_end(ends)
    task = asyncio.ensure_future(reply.message())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert script.cancelled == 1
    assert script.streams[0].closed == 1
    assert ends.only.ending is Ending.ABANDONED


async def test_leaving_after_the_rescue_closes_the_stream_that_went_on() -> None:
    """The target that goes on hears of it, once."""
    script = Script([OPENING, UpstreamInterrupted("it broke")], [OPENING, MIDDLE, Hang()])
    ends = Ends()
    reply = await rescue(script)(asked(A, B))
    reply.on_end(ends)
    for _ in range(3):
        await anext(aiter(reply))
    await reply.aclose()
    await reply.aclose()
    assert [stream.closed for stream in script.streams] == [1, 1]
    assert ends.only.ending is Ending.ABANDONED
    assert ends.only.usage == Usage(input_tokens=14)
