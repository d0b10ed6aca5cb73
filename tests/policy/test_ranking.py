"""`Ranking` and `Crowds`: they answer what sorting everything anew would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.policy.ranking import Crowds, Ranking


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 15), max_size=60))
def test_a_ranking_is_sorted(keys: list[int]) -> None:
    """A key that isn't there comes in, one that is goes: first, last and places are right."""
    ranking: Ranking[int, str] = Ranking()
    kept: set[int] = set()
    for key in keys:
        if key in kept:
            ranking.drop(key)
        else:
            ranking.add(key, str(key))
        kept ^= {key}
        assert len(ranking) == len(kept)
        assert [ranking.before(n) for n in range(17)] == [
            len([k for k in kept if k < n]) for n in range(17)
        ]
        if kept:
            assert (ranking.first(), ranking.last()) == (str(min(kept)), str(max(kept)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60))
def test_the_largest_crowd_is_known(changes: list[tuple[str, bool]]) -> None:
    """Of several as large it is the one that has been so longest; empty ones aren't kept."""
    crowds: Crowds[str] = Crowds()
    counts: dict[str, tuple[int, int]] = {}
    for step, (name, grows) in enumerate(changes):
        before = counts.get(name, (0, 0))[0]
        after = before + 1 if grows else before - 1
        if after < 0:
            continue
        crowds.move(name, before, after)
        counts[name] = (after, -step)
        if not after:
            del counts[name]
        assert sum(map(len, crowds._by_count.values())) == len(counts)
        if counts:
            assert crowds.most() == max(counts, key=lambda n: counts[n])
