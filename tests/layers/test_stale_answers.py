"""Old answers: in place of a failure, or while a new one is asked for."""

import asyncio
from dataclasses import replace

import pytest

from sidecard.core.call import CacheMode, CachePolicy, Call, Priority
from sidecard.core.errors import NotCached, UpstreamUnavailable
from sidecard.core.reply import Reply, Source
from sidecard.core.store import Purge
from sidecard.policy.keeping import KeepingPolicy
from tests.support.caching import POLICY, CacheBench
from tests.support.script import CLOSING, MIDDLE, OPENING, WHOLE, Hang, a_call

ONLY = CachePolicy(CacheMode.ONLY)
BYPASS = CachePolicy(CacheMode.BYPASS)
REFRESH = CachePolicy(CacheMode.REFRESH)


class TestStale:
    """Old answers, for when there is none."""

    async def test_one_stands_in_for_a_failure(self) -> None:
        """Within its time, marked as stale and degraded, with its age."""
        bench = CacheBench(WHOLE)
        await bench.told()
        bench.clock.advance(120)
        reply = await bench.layer._answers.stale(a_call())
        assert reply is not None
        head = reply.head
        assert (head.source, head.degraded, head.age_s) == (Source.CACHE_STALE, True, 120.0)
        assert (await reply.message()).text == "Hello"

    async def test_there_is_none_after_its_time(self) -> None:
        """Too old is as good as none."""
        bench = CacheBench(WHOLE)
        await bench.told()
        bench.clock.advance(150)
        assert await bench.layer._answers.stale(a_call()) is None

    @pytest.mark.parametrize("cache", [BYPASS, REFRESH])
    async def test_who_wanted_a_new_one_gets_none(self, cache: CachePolicy) -> None:
        """A caller who reads no cache reads no stale one either."""
        bench = CacheBench(WHOLE)
        await bench.told()
        bench.clock.advance(120)
        assert await bench.layer._answers.stale(a_call(cache=cache)) is None

    async def test_another_tenant_gets_none(self) -> None:
        """Not even when everything else failed."""
        bench = CacheBench(WHOLE)
        await bench.told()
        bench.clock.advance(120)
        assert await bench.layer._answers.stale(a_call(tenant="other")) is None

    async def test_nothing_is_asked_of_a_cache_that_is_off(self) -> None:
        """A route without a cache has no stale answers."""
        bench = CacheBench(policy=KeepingPolicy(enabled=False))
        assert await bench.layer._answers.stale(a_call()) is None


REVALIDATING = replace(POLICY, stale_while_revalidate_s=20.0)


class TestRevalidate:
    """An old answer now, and a new one for the next."""

    async def test_the_next_has_the_new_one(self) -> None:
        """Nobody waits for it, and it is asked for once, in the background's own name."""
        second = (OPENING, (*MIDDLE, *MIDDLE), CLOSING)
        bench = CacheBench(WHOLE, second, policy=REVALIDATING)
        await bench.told()
        bench.clock.advance(110)
        for _ in range(3):
            assert await bench.told() == ("Hello", Source.CACHE_STALE)
        await settled()
        assert await bench.told() == ("Hellolo", Source.CACHE_EXACT)
        assert bench.asked == 2
        anew = bench.script.calls[1]
        assert (anew.request_id, anew.priority) == ("req-1/refresh", Priority.BATCH)
        assert anew.cache.mode is CacheMode.REFRESH
        assert anew.trail is not bench.script.calls[0].trail
        assert bench.clock.timers == 0

    async def test_a_new_one_asked_for_before_a_removal_is_not_kept(self) -> None:
        """Nobody asked for it by a call of theirs, so nobody misses it."""
        bench, removed = CacheBench(WHOLE, WHOLE, WHOLE, policy=REVALIDATING), asyncio.Event()

        async def slow(call: Call) -> Reply:
            reply = await bench.script(call)
            await removed.wait()
            return reply

        bench.layer._refresh = slow
        await bench.told()
        bench.clock.advance(110)
        await bench.told()
        await settled()
        await bench.layer._answers._store.purge(Purge())
        bench.layer._answers.forget()
        removed.set()
        await settled()
        assert (bench.asked, await bench.told()) == (2, ("Hello", Source.UPSTREAM))

    async def test_a_failure_is_nobody_s(self) -> None:
        """The old one is given on, and asking is tried again."""
        bench = CacheBench(WHOLE, UpstreamUnavailable("down"), WHOLE, policy=REVALIDATING)
        await bench.told()
        bench.clock.advance(110)
        assert (await bench.told())[1] is Source.CACHE_STALE
        await settled()
        assert (await bench.told())[1] is Source.CACHE_STALE
        await settled()
        assert (await bench.told())[1] is Source.CACHE_EXACT

    async def test_it_ends_at_the_deadline(self) -> None:
        """What takes longer than the caller would have waited is given up."""
        bench = CacheBench(WHOLE, Hang(), policy=REVALIDATING)
        await bench.told()
        bench.clock.advance(110)
        await bench.told(deadline=bench.clock.now() + 5)
        await settled()
        assert bench.script.cancelled == 0
        bench.clock.advance(5)
        await settled()
        assert bench.script.cancelled == 1

    async def test_closing_gives_up(self) -> None:
        """Nothing is left running when the daemon ends."""
        bench = CacheBench(WHOLE, Hang(), policy=REVALIDATING)
        await bench.told()
        bench.clock.advance(110)
        before = asyncio.all_tasks()
        await bench.told()
        await settled()
        await bench.layer.aclose()
        assert (asyncio.all_tasks(), bench.clock.timers) == (before, 0)

    async def test_no_flood_is_made_of_it(self) -> None:
        """However many answers are old at one moment, 64 are asked for anew at once."""
        answers, hangs = [WHOLE] * 70, [Hang()] * 70
        bench = CacheBench(*answers, *hangs, policy=REVALIDATING)
        for tokens in range(1, 71):
            await bench.told(parameters={"max_tokens": tokens})
        bench.clock.advance(110)
        for tokens in range(1, 71):
            told = await bench.told(parameters={"max_tokens": tokens})
            assert told == ("Hello", Source.CACHE_STALE)
        await settled()
        assert bench.asked == 70 + 64
        await bench.layer.aclose()

    async def test_only_is_answered_by_nothing_old(self) -> None:
        """Mode ONLY asks no target, not even for the next."""
        bench = CacheBench(WHOLE, policy=REVALIDATING)
        await bench.told()
        bench.clock.advance(110)
        with pytest.raises(NotCached):
            await bench.ask(cache=ONLY)
        assert bench.asked == 1


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
