"""`Answers`: what is remembered of the store, and for whom an answer of it is one."""

from dataclasses import replace
from typing import Any

from sidecard.core.call import Route, Target
from sidecard.core.reply import Reply, Source
from tests.support.caching import POLICY, CacheBench, cached
from tests.support.script import TARGET, WHOLE, Script, a_call


async def test_a_stand_in_of_another_route_is_none() -> None:
    """Routes that share a first target share its answers, and those of no target that one lacks."""
    script = Script(WHOLE, WHOLE)

    async def fallen_back(call: Any) -> Reply:
        reply = await script(call)
        reply.amend(target="claude-small", degraded=True)
        return reply

    layer = cached(fallen_back, script.clock, replace(POLICY, degraded=True))
    routes = {
        "one": Route("one", (TARGET, Target("claude-small")), 1_024),
        "same": Route("same", (TARGET, Target("claude-small")), 1_024),
        "other": Route("other", (TARGET, Target("claude-large")), 1_024),
    }
    told = []
    for name in ("one", "same", "other"):
        reply = await layer(a_call(route=routes[name]))
        await reply.message()
        told.append(reply.head.source)
    assert told == [Source.UPSTREAM, Source.CACHE_EXACT, Source.UPSTREAM]


async def test_what_is_removed_stays_in_no_memory() -> None:
    """What was looked up last is kept unpacked; who has it removed has that removed, too."""
    bench = CacheBench(WHOLE)
    answers = bench.layer._answers
    for _ in range(2):
        await bench.told()
    assert len(answers._unpacked_last) == 1
    answers.forget()
    assert not answers._unpacked_last
