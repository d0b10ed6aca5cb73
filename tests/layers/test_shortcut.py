"""`Shortcut`: a hit is what the cache's would be, and another time only as long as it would be."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.call import Call
from sidecard.core.fold import fold
from sidecard.core.outcome import Outcome
from sidecard.core.ports import Again, Hit
from sidecard.core.reply import Head, Source
from sidecard.core.store import Purge
from sidecard.layers.answers import Answers
from sidecard.layers.shortcut import Shortcut
from sidecard.policy.fingerprint import Fingerprints
from sidecard.policy.keeping import KeepingPolicy
from sidecard.store.memory import MemoryStore
from tests.support.caching import POLICY
from tests.support.clock import ManualClock
from tests.support.script import HEAD, WHOLE, a_call

MESSAGE = fold(WHOLE)


class Bench:
    """A shortcut over an empty store, and what its sinks heard."""

    def __init__(self, policy: KeepingPolicy = POLICY) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(max_bytes=1 << 20, keep_expired_s=1_000.0)
        self.answers = Answers(
            self.store,
            policy_of=lambda _: policy,
            fingerprint_of=Fingerprints(),
            clock=self.clock,
            chance=lambda: 0.5,
        )
        self.calls: list[tuple[Head | None, float]] = []
        self.alike: list[tuple[str, float, float, float, float]] = []
        self.shortcut = Shortcut(
            self.answers, sink=self._take, alike=lambda *_: self._take_alike, clock=self.clock
        )

    def _take(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        del call, outcome
        self.calls.append((head, began))

    def _take_alike(self, *hit: *tuple[str, float, float, float, float]) -> None:
        self.alike.append(hit)

    def keep(self, call: Call, id_: str = "msg_1") -> None:
        self.answers.keep(call, HEAD, replace(MESSAGE, id=id_))

    def hit(self, call: Call) -> Hit | None:
        return self.shortcut(call, self.shortcut.key(call), self.clock.now())


def test_a_hit_is_told_and_given_again() -> None:
    """With its own age and times; the sink hears of each once."""
    bench, call = Bench(), a_call()
    assert bench.hit(call) is None
    bench.keep(call)
    bench.clock.advance(3)
    hit = bench.hit(call)
    assert hit is not None
    assert (hit.message.id, hit.head.source, hit.head.age_s) == ("msg_1", Source.CACHE_EXACT, 3.0)
    assert bench.calls == [(hit.head, 1_003.0)]
    assert hit.again is not None
    bench.clock.advance(4)
    assert hit.again("req-2", 1_006.5) == (7.0, 1_007.0)
    assert bench.alike == [("req-2", 7.0, 1_006.5, 1_007.0, bench.clock.wall())]
    assert len(bench.calls) == 1


def test_without_a_sink_for_alike_ones_each_is_looked_at() -> None:
    """As where calls are traced."""
    bench, call = Bench(), a_call()
    answers, clock = bench.answers, bench.clock
    shortcut = Shortcut(answers, sink=bench._take, alike=lambda *_: None, clock=clock)
    bench.keep(call)
    hit = shortcut(call, shortcut.key(call), 1_000.0)
    assert hit is not None
    assert hit.again is None


STEPS = st.one_of(
    st.tuples(st.just("advance"), st.integers(0, 60)),
    st.tuples(st.just("step"), st.integers(-200, 200)),
    st.tuples(st.just("keep"), st.integers(1, 2)),
    st.tuples(st.just("purge"), st.just(0)),
)


@given(st.lists(STEPS, max_size=30))
async def test_again_is_what_the_first_time_would_be(steps: list[tuple[str, int]]) -> None:
    """The same answer and age exactly as long as that entry is a hit, whatever the clocks do."""
    bench, call = Bench(), a_call()
    bench.keep(call)
    entry: tuple[str, float] | None = None
    again: Again | None = None
    for step, number in [("advance", 0), *steps]:
        if step == "advance":
            bench.clock.advance(number)
        elif step == "step":
            bench.clock.step_wall(number)
        elif step == "keep":
            bench.keep(call, f"msg_{number}")
        else:
            await bench.store.purge(Purge())
        told = None if again is None else again("req-2", bench.clock.now())
        hit = bench.hit(call)
        if hit is None:
            assert told is None
            continue
        assert hit.head.age_s is not None
        found = (hit.message.id, bench.clock.wall() - hit.head.age_s)
        if again is not None:
            assert told == ((hit.head.age_s, bench.clock.now()) if found == entry else None)
        entry, again = found, hit.again
