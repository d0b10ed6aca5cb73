"""Answers that were given before: what the exact cache and the last resort both look up.

A store of bytes on one side, replies on the other. Whatever is wrong with an entry is a miss.
"""

from collections.abc import Callable
from typing import NamedTuple

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.message import Message
from sidecard.core.reply import Head, Reply, Source
from sidecard.core.store import Entry, Store
from sidecard.policy.answer import Answer, pack, unpack
from sidecard.policy.fingerprint import Fingerprint
from sidecard.policy.keeping import KeepingPolicy, Standing, age_s, expiry, keeps, standing


class Found(NamedTuple):
    """An answer to the same question, how old it is, and what it is good for."""

    answer: Answer
    age_s: float
    standing: Standing


class Answers:
    """State: the store. Safe to share within one event loop.

    `policy_of` gives the policy of a route by its name.
    """

    def __init__(
        self,
        store: Store,
        *,
        policy_of: Callable[[str], KeepingPolicy],
        fingerprint_of: Callable[[Call], Fingerprint],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._fingerprint_of = fingerprint_of
        self._clock = clock
        self._chance = chance
        self.policy_of = policy_of

    def find(self, call: Call) -> Found | None:
        """Return what is kept for the call, if it is good for anything."""
        now = self._clock.wall()
        stored = self._store.get(self.key(call), now)
        if stored is None:
            return None
        good_for = standing(self.policy_of(call.route.name), stored, call.cache.ttl_s, now)
        if good_for is Standing.GONE or (answer := unpack(stored.value)) is None:
            return None
        return Found(answer, age_s(stored, now), good_for)

    def key(self, call: Call) -> bytes:
        """Return what the call's answer is kept under."""
        return self._fingerprint_of(call).whole

    def wants(self, call: Call, head: Head, stop_reason: str) -> bool:
        """Whether an answer that ends so is one to be kept."""
        return keeps(self.policy_of(call.route.name), head, stop_reason)

    def keep(self, call: Call, head: Head, message: Message) -> None:
        """Keep a whole answer, if it is one to be kept."""
        if not self.wants(call, head, message.stop_reason):
            return
        value = pack(Answer(message, head.target, head.degraded))
        if value is None:
            return
        now = self._clock.wall()
        expires_at = expiry(self.policy_of(call.route.name), call.cache.ttl_s, now, self._chance)
        entry = Entry(value, call.tenant, call.route.name, now, expires_at)
        self._store.put(self.key(call), entry)

    def reply(self, found: Found) -> Reply:
        """Return a reply of what was found, marked as what it is."""
        answer = found.answer
        fresh = found.standing is Standing.FRESH
        head = Head(
            Source.CACHE_EXACT if fresh else Source.CACHE_STALE,
            answer.target,
            degraded=answer.degraded or not fresh,
            age_s=found.age_s,
        )
        return Reply.whole(head, answer.message, self._clock)

    async def stale(self, call: Call) -> Reply | None:
        """Return an old answer for when every target failed; None when there is none.

        A caller who wanted no answer from the cache gets none here either.
        """
        policy = self.policy_of(call.route.name)
        if not policy.enabled or not call.cache.reads:
            return None
        found = self.find(call)
        return None if found is None else self.reply(found)

    def __repr__(self) -> str:
        return f"<Answers in {self._store!r}>"
