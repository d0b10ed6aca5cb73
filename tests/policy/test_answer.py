"""`answer`: what is kept comes back as it was, and what can't be read is a miss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.event import Usage
from sidecard.core.message import Message
from sidecard.policy.answer import Answer, pack, unpack
from tests.support.script import a_message

_KEYS = st.text('ab"\\é', max_size=3)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\é', max_size=3), inner)
    ),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.text("abc", max_size=3), _JSON, max_size=3)
_MESSAGES = st.builds(
    Message,
    id=st.text("ab", max_size=3),
    model=st.text("ab", max_size=3),
    content=st.lists(_OBJECTS, max_size=3).map(tuple),
    stop_reason=st.sampled_from(["end_turn", "tool_use"]),
    stop_sequence=st.none() | st.just("stop"),
    usage=st.just(Usage()),
    extra=_OBJECTS,
    output_json=st.sampled_from(["", '{"a":1}']),
)


@given(_MESSAGES, st.booleans())
def test_an_answer_comes_back_as_it_was(message: Message, degraded: bool) -> None:  # noqa: FBT001
    """Whatever JSON its blocks are."""
    answer = Answer(message, "claude-a", degraded)
    value = pack(answer)
    assert value is not None
    assert unpack(value) == answer


def test_what_was_used_is_not_kept() -> None:
    """Whoever gets the answer from the cache used nothing."""
    value = pack(Answer(a_message(usage=Usage(7, 3)), "a", degraded=False))
    assert value is not None
    found = unpack(value)
    assert found is not None
    assert found.message == a_message(usage=Usage())


def test_an_infinite_number_is_not_kept() -> None:
    """JSON has none; the answer is given, and not kept."""
    message = a_message(content=({"type": "x", "n": float("inf")},))
    assert pack(Answer(message, "a", degraded=False)) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[1]",
        b"\xff",
        b"[2,2,3,4,5,6,7,8,9,10,11]",
        b'[2,"a",false,"i","m","end_turn",null,[],{}]',
    ],
)
def test_what_is_no_answer_is_a_miss(value: bytes) -> None:
    """Another version's, or nonsense."""
    assert unpack(value) is None
