"""Answers that were given before: what the exact cache and the last resort both look up.

A store of bytes on one side, replies on the other. Whatever is wrong with an entry is a miss.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.message import Message
from sidecard.core.reply import Head, Reply, Source
from sidecard.core.store import Entry, Store, Stored
from sidecard.policy.answer import Answer, pack, unpack
from sidecard.policy.fingerprint import Fingerprint
from sidecard.policy.keeping import (
    KeepingPolicy,
    Standing,
    age_s,
    expiry,
    fresh_until,
    keeps,
    serves,
    standing,
)
from sidecard.policy.structured import is_checked

_REMEMBERED: Final = 256
_REMEMBERED_BYTES: Final = 16_384
"""Answers that were looked up last are kept unpacked: so many, each of so many bytes at most."""


class Found(NamedTuple):
    """An answer to the same question, how old it is, what it is good for, and as it is stored."""

    answer: Answer
    age_s: float
    standing: Standing
    stored: Stored


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
        self.generation = 0
        self._unpacked_last: dict[bytes, tuple[bytes, Answer]] = {}
        self.policy_of = policy_of

    def find(self, call: Call, key: bytes | None = None) -> Found | None:
        """Return what is kept for the call, if it is good for anything."""
        now = self._clock.wall()
        key = self.key(call) if key is None else key
        stored = self._store.get(key, now)
        if stored is None:
            return None
        policy = self.policy_of(call.route.name)
        good_for = standing(policy, stored, call.cache.ttl_s, now)
        if good_for is Standing.GONE or (answer := self._unpacked(key, stored.value)) is None:
            return None
        reason = answer.message.stop_reason
        if not serves(policy, stop_reason=reason, degraded=answer.degraded):
            return None
        if not is_checked(call, answer.message):
            return None
        # Another route with the same first target may have others behind it.
        if answer.degraded and all(answer.target != target.name for target in call.route.targets):
            return None
        return Found(answer, age_s(stored, now), good_for, stored)

    def fresh(self, call: Call, key: bytes | None = None) -> Found | None:
        """Return what a call may be answered with at once; None where it has to be asked."""
        if not call.cache.reads or not self.policy_of(call.route.name).enabled:
            return None
        found = self.find(call, key)
        return found if found is not None and found.standing is Standing.FRESH else None

    def again(self, call: Call, key: bytes, found: Found) -> Callable[[float], float | None]:
        """Return what finds the same answer again, as `fresh` would, by a moment of `Clock.wall`.

        It returns the answer's age, None where it isn't fresh any more or another one is there.
        It is of use under the policies of now.
        """
        stored, get = found.stored, self._store.get
        created_at = stored.created_at
        until = fresh_until(self.policy_of(call.route.name), stored, call.cache.ttl_s)

        def look(wall: float) -> float | None:
            if not created_at <= wall < until:
                return None
            now = get(key, wall)
            return wall - created_at if now is stored or now == stored else None

        return look

    def _unpacked(self, key: bytes, value: bytes) -> Answer | None:
        """Return the answer of a value; that of the same one again is the same one."""
        known = self._unpacked_last.get(key)
        if known is not None and known[0] == value:
            return known[1]
        answer = unpack(value)
        if answer is not None and len(value) <= _REMEMBERED_BYTES:
            self._unpacked_last[key] = (value, answer)
            if len(self._unpacked_last) > _REMEMBERED:
                del self._unpacked_last[next(iter(self._unpacked_last))]
        return answer

    def forget(self) -> None:
        """Hear that answers are removed: none in memory stays, and none under way is kept.

        Which of those are meant isn't looked at: what isn't kept is asked once more.
        """
        self._unpacked_last.clear()
        self.generation += 1

    def key(self, call: Call) -> bytes:
        """Return what the call's answer is kept under."""
        return self._fingerprint_of(call).whole

    def wants(self, call: Call, head: Head, stop_reason: str) -> bool:
        """Whether an answer that ends so is one to be kept."""
        return keeps(self.policy_of(call.route.name), head, stop_reason)

    def keep(self, call: Call, head: Head, message: Message, generation: int | None = None) -> None:
        """Keep a whole answer, if it is one to be kept; not one asked for before a removal."""
        if generation is not None and generation != self.generation:
            return
        if not self.wants(call, head, message.stop_reason):
            return
        value = pack(Answer(message, head.target, head.degraded))
        if value is None:
            return
        now = self._clock.wall()
        expires_at = expiry(self.policy_of(call.route.name), call.cache.ttl_s, now, self._chance)
        entry = Entry(value, call.tenant, call.route.name, now, expires_at)
        self._store.put(self.key(call), entry)

    @staticmethod
    def head(found: Found) -> Head:
        """Return the head of a reply of what was found, marked as what it is."""
        answer, fresh = found.answer, found.standing is Standing.FRESH
        return Head(
            Source.CACHE_EXACT if fresh else Source.CACHE_STALE,
            answer.target,
            degraded=answer.degraded or not fresh,
            age_s=found.age_s,
        )

    def reply(self, found: Found) -> Reply:
        """Return a reply of what was found."""
        return Reply.whole(self.head(found), found.answer.message, self._clock)

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
