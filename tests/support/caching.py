"""The exact cache over a script, for its tests."""

from collections.abc import Callable
from typing import Any

from sidecard.core.handler import Handler
from sidecard.core.reply import Reply, Source
from sidecard.layers.answers import Answers
from sidecard.layers.exact_cache import ExactCache
from sidecard.policy.fingerprint import Fingerprints
from sidecard.policy.keeping import KeepingPolicy
from sidecard.store.memory import MemoryStore
from tests.support.clock import ManualClock
from tests.support.script import Script, a_call

POLICY = KeepingPolicy(ttl_s=100.0, ttl_jitter=0.0, stale_if_error_s=50.0)


def cached(
    next_: Handler,
    clock: ManualClock,
    policy: KeepingPolicy = POLICY,
    policy_of: Callable[[str], KeepingPolicy] | None = None,
) -> ExactCache:
    """Return the layer with an empty store."""
    answers = Answers(
        MemoryStore(max_bytes=1 << 20, keep_expired_s=1_000.0),
        policy_of=policy_of or (lambda _: policy),
        fingerprint_of=Fingerprints(),
        clock=clock,
        chance=lambda: 0.5,
    )
    return ExactCache(next_, answers=answers, clock=clock)


class CacheBench:
    """The layer over a script, and what it was asked."""

    def __init__(self, *acts: Any, policy: KeepingPolicy = POLICY) -> None:
        self.script = Script(*acts)
        self.clock = self.script.clock
        self.layer = cached(self.script, self.clock, policy)

    async def ask(self, **fields: Any) -> Reply:
        return await self.layer(a_call(**fields))

    async def told(self, **fields: Any) -> tuple[str, Source]:
        reply = await self.ask(**fields)
        return (await reply.message()).text, reply.head.source

    @property
    def asked(self) -> int:
        return len(self.script.calls)
