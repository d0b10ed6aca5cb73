"""`ExactCache`: what was answered is answered again, whole, in time, and to its tenant alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sidecard.core.call import CacheMode, CachePolicy, Mode, Priority, Route, Target
from sidecard.core.errors import NotCached, UpstreamInterrupted, UpstreamUnavailable
from sidecard.core.event import Batch, Continued, Finished, Restarted, Usage
from sidecard.core.fold import fold
from sidecard.core.handler import Handler
from sidecard.core.reply import Reply, Source
from sidecard.policy.keeping import KeepingPolicy
from tests.support.caching import POLICY, CacheBench, cached
from tests.support.clock import ManualClock
from tests.support.conformance import LayerConformance
from tests.support.script import (
    CLOSING,
    HEAD,
    MIDDLE,
    OPENING,
    TARGET,
    USAGE,
    WHOLE,
    Script,
    a_call,
)

ONLY = CachePolicy(CacheMode.ONLY)
BYPASS = CachePolicy(CacheMode.BYPASS)
REFRESH = CachePolicy(CacheMode.REFRESH)


class TestExactCache(LayerConformance):
    """The promises of every layer, on a miss."""

    def layer(self, next_: Handler) -> Handler:
        return cached(next_, ManualClock(), replace(POLICY, enabled=True))

    async def test_nothing_is_left_running(self, mode: Mode) -> None:
        """As for every layer; the second call is another, as an equal one is a hit."""
        before = asyncio.all_tasks()
        layer = self.layer(Script(WHOLE, WHOLE))
        await (await layer(a_call(mode=mode))).message()
        await (await layer(a_call(mode=mode, tenant="other"))).aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before


class TestUncached(LayerConformance):
    """The same where the route has no cache."""

    def layer(self, next_: Handler) -> Handler:
        return cached(next_, ManualClock(), KeepingPolicy(enabled=False))


@pytest.mark.parametrize("second", list(Mode))
@pytest.mark.parametrize("first", list(Mode))
async def test_an_answer_serves_both_modes(first: Mode, second: Mode) -> None:
    """However it was delivered, it is there for the next, who pays nothing and is told so."""
    bench = CacheBench(WHOLE)
    await (await bench.ask(mode=first)).message()
    bench.clock.advance(7)
    reply = await bench.ask(mode=second)
    assert await reply.message() == replace(fold(WHOLE), usage=Usage())
    assert (reply.head.source, reply.head.degraded, reply.head.age_s) == (
        Source.CACHE_EXACT, False, 7.0,
    )  # fmt: skip
    assert (reply.head.target, reply.head.attempt) == (HEAD.target, None)
    assert reply.outcome is not None
    assert reply.outcome.usage == Usage()
    assert bench.asked == 1


async def test_a_hit_for_a_stream_is_one_batch() -> None:
    """All of it came at once, so all of it goes at once."""
    bench = CacheBench(WHOLE)
    await bench.told()
    batches = [batch async for batch in await bench.ask(mode=Mode.STREAM)]
    assert len(batches) == 1
    assert isinstance(batches[0][-1], Finished)


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant": "other"},
        {"cache": CachePolicy(namespace="other")},
        {"messages": ({"role": "user", "content": "ho"},)},
        {"parameters": {"max_tokens": 1_023}},
    ],
    ids=["tenant", "namespace", "question", "parameter"],
)
async def test_another_question_is_a_miss(fields: dict[str, Any]) -> None:
    """What differs in anything that could change the answer is asked anew."""
    bench = CacheBench(WHOLE, WHOLE)
    await bench.told()
    assert await bench.told(**fields) == ("Hello", Source.UPSTREAM)
    assert bench.asked == 2


async def test_who_asks_how_urgently_does_not_matter() -> None:
    """Priority, deadline, labels and limits on the cost are no part of the question."""
    bench = CacheBench(WHOLE)
    await bench.told()
    fields: dict[str, Any] = {
        "priority": Priority.BATCH,
        "deadline": 1_001.0,
        "labels": {"a": "b"},
        "max_cost_nano_usd": 0,
        "max_input_tokens": 1,
        "request_id": "another",
    }
    assert (await bench.told(**fields))[1] is Source.CACHE_EXACT


async def test_it_expires() -> None:
    """Fresh up to its time to live; then it is asked again, and fresh again."""
    bench = CacheBench(WHOLE, WHOLE)
    await bench.told()
    bench.clock.advance(99.9)
    assert (await bench.told())[1] is Source.CACHE_EXACT
    bench.clock.advance(0.1)
    assert (await bench.told())[1] is Source.UPSTREAM
    bench.clock.advance(99.9)
    assert (await bench.told())[1] is Source.CACHE_EXACT


async def test_a_call_may_say_how_long() -> None:
    """Its own time to live holds for what it has kept, and for what it takes."""
    bench = CacheBench(WHOLE, WHOLE, WHOLE)
    await bench.told(cache=CachePolicy(ttl_s=10.0))
    bench.clock.advance(10)
    assert (await bench.told())[1] is Source.UPSTREAM
    bench.clock.advance(5)
    assert (await bench.told(cache=CachePolicy(ttl_s=5.0)))[1] is Source.UPSTREAM
    assert (await bench.told(cache=CachePolicy(ttl_s=5.0)))[1] is Source.CACHE_EXACT


async def test_a_clock_that_steps_back_makes_nothing_fresh() -> None:
    """An answer from the future is of unknown age: it is asked again."""
    bench = CacheBench(WHOLE, WHOLE)
    await bench.told()
    bench.clock.step_wall(-3_600)
    assert (await bench.told())[1] is Source.UPSTREAM


async def test_bypass_neither_reads_nor_keeps() -> None:
    """The call is alone with the upstream."""
    bench = CacheBench(WHOLE, WHOLE, WHOLE)
    await bench.told(cache=BYPASS)
    assert (await bench.told())[1] is Source.UPSTREAM
    assert (await bench.told(cache=BYPASS))[1] is Source.UPSTREAM


async def test_refresh_keeps_and_does_not_read() -> None:
    """The next has the new answer."""
    second = (OPENING, (*MIDDLE, *MIDDLE), CLOSING)
    bench = CacheBench(WHOLE, second)
    await bench.told()
    assert await bench.told(cache=REFRESH) == ("Hellolo", Source.UPSTREAM)
    assert await bench.told() == ("Hellolo", Source.CACHE_EXACT)


@pytest.mark.parametrize("mode", list(Mode))
async def test_only_never_asks(mode: Mode) -> None:
    """A miss is NOT_CACHED, a hit is a hit; another tenant can't tell that there is one."""
    bench = CacheBench(WHOLE)
    with pytest.raises(NotCached) as missing:
        await bench.ask(cache=ONLY, mode=mode)
    assert bench.asked == 0
    await bench.told()
    assert await bench.told(cache=ONLY, mode=mode) == ("Hello", Source.CACHE_EXACT)
    with pytest.raises(NotCached) as theirs:
        await bench.ask(cache=ONLY, mode=mode, tenant="other")
    assert str(theirs.value) == str(missing.value)
    bench.clock.advance(100)
    with pytest.raises(NotCached):
        await bench.ask(cache=ONLY, mode=mode)
    assert bench.asked == 1


async def test_without_a_cache_only_says_so() -> None:
    """The fix is the operator's, and named."""
    bench = CacheBench(policy=KeepingPolicy(enabled=False))
    with pytest.raises(NotCached, match=r"route default has no cache \(cache.enabled\)"):
        await bench.ask(cache=ONLY)


_GOES_ON = Continued("a", "b", "UPSTREAM_INTERRUPTED", 5)
_ANEW = Restarted("a", "b", "UPSTREAM_INTERRUPTED")
UNKEPT: dict[str, Sequence[Batch | BaseException]] = {
    "refused": (OPENING, (*CLOSING[:-1], Finished("refusal"))),
    "cut off": (OPENING, (*CLOSING[:-1], Finished("max_tokens"))),
    "paused": (OPENING, (*CLOSING[:-1], Finished("pause_turn"))),
    "continued": (OPENING, (_GOES_ON,), CLOSING),
    "restarted": (OPENING, (_ANEW,), *WHOLE),
    "broken": (OPENING, UpstreamInterrupted("it broke")),
    "truncated": (OPENING, MIDDLE),
}


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("what", UNKEPT)
async def test_what_is_not_whole_and_final_is_not_kept(what: str, mode: Mode) -> None:
    """The next call asks for itself."""
    bench = CacheBench(UNKEPT[what], WHOLE)
    reply = await bench.ask(mode=mode)
    try:
        await reply.message()
    except UpstreamInterrupted:
        assert what in ("broken", "truncated")
    assert await bench.told() == ("Hello", Source.UPSTREAM)


async def test_an_error_is_not_kept() -> None:
    """What failed is asked again."""
    bench = CacheBench(UpstreamUnavailable("down"), WHOLE)
    with pytest.raises(UpstreamUnavailable):
        await bench.ask()
    assert (await bench.told())[1] is Source.UPSTREAM


async def test_half_a_stream_is_not_kept() -> None:
    """Whoever leaves before the end has kept nothing."""
    bench = CacheBench(WHOLE, WHOLE)
    reply = await bench.ask(mode=Mode.STREAM)
    await anext(reply)
    await reply.aclose()
    assert (await bench.told())[1] is Source.UPSTREAM


async def test_a_whole_answer_is_kept_whoever_leaves() -> None:
    """A unary answer is paid for when it is there; its caller may be gone by then."""

    async def whole(call: object) -> Reply:
        del call
        return Reply.whole(HEAD, replace(fold(WHOLE), usage=USAGE), clock)

    clock = ManualClock()
    layer = cached(whole, clock)
    await (await layer(a_call())).aclose()
    reply = await layer(a_call())
    await reply.message()
    assert reply.head.source is Source.CACHE_EXACT


@pytest.mark.parametrize("source", [s for s in Source if s is not Source.UPSTREAM])
async def test_what_stands_in_is_not_kept(source: Source) -> None:
    """Nor is what was shared: who had it from the upstream keeps it."""
    asked = 0

    async def stand_in(call: object) -> Reply:
        nonlocal asked
        del call
        asked += 1
        return Reply.whole(replace(HEAD, source=source), fold(WHOLE), clock)

    clock = ManualClock()
    layer = cached(stand_in, clock)
    for _ in range(2):
        await (await layer(a_call())).message()
    assert asked == 2


async def test_what_became_degraded_on_the_way_is_not_kept() -> None:
    """The head that counts is the one at the end."""
    bench = CacheBench(WHOLE, WHOLE)
    inner = bench.script

    async def rescued(call: Any) -> Reply:
        reply = await inner(call)
        reply.on_end(lambda _: reply.amend(degraded=True))
        return reply

    layer = cached(rescued, bench.clock)
    for _ in range(2):
        await (await layer(a_call(mode=Mode.STREAM))).message()
    assert bench.asked == 2


async def test_what_another_route_keeps_is_no_stricter_one_s() -> None:
    """Of routes that share a first target, each gives only what its own policy would keep."""
    loose = replace(
        POLICY, degraded=True, stop_reasons=frozenset({"end_turn", "max_tokens"}), ttl_s=1_000.0
    )
    policies = {"loose": loose, "strict": POLICY}
    cut = (OPENING, (*CLOSING[:-1], Finished("max_tokens")))
    script = Script(cut, WHOLE, WHOLE, WHOLE)
    layer = cached(script, script.clock, policy_of=lambda name: policies[name])
    routes = {name: Route(name, (TARGET,), 1_024) for name in policies}

    async def told(name: str) -> Source:
        reply = await layer(a_call(route=routes[name]))
        await reply.message()
        return reply.head.source

    assert [await told("loose"), await told("loose")] == [Source.UPSTREAM, Source.CACHE_EXACT]
    assert await told("strict") is Source.UPSTREAM
    assert await told("strict") is Source.CACHE_EXACT
    await (await layer(a_call(route=routes["loose"], cache=REFRESH))).message()
    script.clock.advance(150)
    assert await told("loose") is Source.CACHE_EXACT
    assert await told("strict") is Source.UPSTREAM


async def test_a_stand_in_that_is_kept_stays_marked() -> None:
    """Where a route keeps other targets' answers, each that is given is degraded, as the first."""
    script = Script(WHOLE)
    policy = replace(POLICY, degraded=True)

    async def fallen_back(call: Any) -> Reply:
        reply = await script(call)
        reply.amend(target="claude-small", degraded=True)
        return reply

    layer = cached(fallen_back, script.clock, policy)
    route = Route("default", (TARGET, Target("claude-small")), 1_024)
    first = await layer(a_call(route=route))
    await first.message()
    again = await layer(a_call(route=route))
    await again.message()
    for head, source in ((first.head, Source.UPSTREAM), (again.head, Source.CACHE_EXACT)):
        assert (head.source, head.target, head.degraded) == (source, "claude-small", True)


@pytest.mark.parametrize("mode", list(Mode))
async def test_what_is_under_way_when_answers_are_removed_is_not_kept(mode: Mode) -> None:
    """Who was promised that they are gone finds none that was asked for before."""
    bench = CacheBench(WHOLE, WHOLE)
    reply = await bench.ask(mode=mode)
    bench.layer._answers.forget()
    await reply.message()
    assert (await bench.told())[1] is Source.UPSTREAM
    assert (await bench.told())[1] is Source.CACHE_EXACT
