"""`ExactCache` against a dictionary, in any order of asking, waiting and removing."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.core.call import CacheMode, CachePolicy, Call, Mode
from sidecard.core.errors import NotCached
from sidecard.core.reply import Reply, Source
from sidecard.core.store import Purge
from sidecard.layers.answers import Answers
from sidecard.layers.exact_cache import ExactCache
from sidecard.policy.fingerprint import Fingerprints
from sidecard.policy.keeping import KeepingPolicy
from sidecard.store.memory import MemoryStore
from tests.support.clock import ManualClock
from tests.support.script import HEAD, a_call, a_message

TTL_S = 100.0
POLICY = KeepingPolicy(ttl_s=TTL_S, ttl_jitter=0.0, stale_if_error_s=50.0)
_TIMES = st.sampled_from([0.0, 1.0, 30.0, 60.0, 100.0])
STEPS = st.one_of(
    *[
        st.tuples(
            st.just("ask"),
            st.sampled_from(["one", "other"]),
            st.sampled_from(["a", "b"]),
            st.sampled_from([*CacheMode, CacheMode.DEFAULT, CacheMode.DEFAULT]),
            st.sampled_from([None, None, 0.0, 30.0, 200.0]),
            st.sampled_from(Mode),
            st.sampled_from(["end_turn", "end_turn", "max_tokens"]),
        )
    ]
    * 4,
    st.tuples(st.just("wait"), _TIMES),
    st.tuples(st.just("step"), st.sampled_from([-40.0, 40.0])),
    st.tuples(st.just("purge"), st.sampled_from(["one", "other", None])),
)


@dataclass
class Plain:
    """What a cache amounts to: by whose and which question, an answer, since when and until."""

    held: dict[tuple[str, str], tuple[str, float, float]] = field(default_factory=dict)

    def fresh(self, key: tuple[str, str], ttl_s: float | None, now: float) -> str | None:
        text, since, until = self.held.get(key, ("", 0.0, 0.0))
        young = now - since < (TTL_S if ttl_s is None else ttl_s)
        return text if text and since <= now < until and young else None

    def purge(self, tenant: str | None) -> int:
        gone = [key for key in self.held if tenant in (None, key[0])]
        for key in gone:
            del self.held[key]
        return len(gone)


class World:
    """The layer over an upstream that never answers the same twice, and the dictionary."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(max_bytes=1 << 20, keep_expired_s=1e6)
        self.plain = Plain()
        self.asked = 0
        self.stop_reason = ""
        answers = Answers(
            self.store,
            policy_of=lambda _: POLICY,
            fingerprint_of=Fingerprints(),
            clock=self.clock,
            chance=lambda: 0.5,
        )
        self.layer = ExactCache(self._answer, answers=answers, clock=self.clock)

    async def _answer(self, call: Call) -> Reply:
        del call
        self.asked += 1
        content = ({"type": "text", "text": f"answer {self.asked}"},)
        message = a_message(content=content, stop_reason=self.stop_reason)
        return Reply.whole(HEAD, message, self.clock)

    async def ask(  # noqa: PLR0917  # all that a caller can say
        self, tenant: str, text: str, mode: CacheMode, ttl_s: float | None, how: Mode, reason: str
    ) -> None:
        now, key, before = self.clock.wall(), (tenant, text), self.asked
        self.stop_reason = reason
        call = a_call(
            tenant=tenant,
            messages=({"role": "user", "content": text},),
            cache=CachePolicy(mode, ttl_s),
            mode=how,
        )
        reads = mode in (CacheMode.DEFAULT, CacheMode.ONLY)
        known = self.plain.fresh(key, ttl_s, now) if reads else None
        if known is None and mode is CacheMode.ONLY:
            try:
                await self.layer(call)
            except NotCached:
                assert self.asked == before
                return
            raise AssertionError("answered")
        reply = await self.layer(call)
        told = (await reply.message()).text
        if known is not None:
            assert (told, reply.head.source, self.asked) == (known, Source.CACHE_EXACT, before)
            return
        assert (told, reply.head.source) == (f"answer {before + 1}", Source.UPSTREAM)
        if mode is not CacheMode.BYPASS and reason == "end_turn":
            until = now + (TTL_S if ttl_s is None else ttl_s)
            self.plain.held[key] = (told, now, until)

    async def step(self, what: str, *arguments: Any) -> None:
        if what == "ask":
            await self.ask(*arguments)
        elif what == "wait":
            self.clock.advance(*arguments)
        elif what == "step":
            self.clock.step_wall(*arguments)
        else:
            removed = await self.store.purge(Purge(tenant=arguments[0]))
            assert removed == self.plain.purge(*arguments)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_it_is_a_dictionary_with_times(steps: list[tuple[Any, ...]]) -> None:
    """Every answer is the one that the dictionary has, or a new one where that has none."""

    async def play() -> None:
        world = World()
        for step in steps:
            await world.step(*step)

    asyncio.run(play())
