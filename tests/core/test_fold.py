"""`fold` and `unfold` are inverse, whatever a message holds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.event import BlockStarted, Delta, Started
from sidecard.core.fold import OTHER_DELTAS, PARTIAL_INPUT, Folder, fold, unfold
from sidecard.core.message import Message
from tests.support.script import CLOSING, MIDDLE, OPENING, WHOLE, a_message

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
DELTAS = st.lists(st.fixed_dictionaries({"type": st.just("future_delta"), "x": JSON}), min_size=1)
OWN = {"type", "text", "thinking", "signature", "citations", "input", PARTIAL_INPUT, OTHER_DELTAS}
EXTRA = OBJECT.map(lambda fields: {k: v for k, v in fields.items() if k not in OWN})
KNOWN = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": TEXT},
        optional={"citations": st.none() | st.lists(OBJECT), OTHER_DELTAS: DELTAS},
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT, "signature": TEXT}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": TEXT, "name": TEXT, "input": OBJECT}),
    st.fixed_dictionaries({"type": st.just("server_tool_use"), "input": OBJECT}),
    st.just({"type": "tool_use", "input": {}, PARTIAL_INPUT: '{"cut": "of'}),
    st.fixed_dictionaries({"type": TEXT, "data": JSON}),
)
BLOCKS = st.builds(lambda block, extra: {**extra, **block}, KNOWN, EXTRA)
MESSAGES = st.builds(a_message, content=st.lists(BLOCKS, max_size=4).map(tuple), extra=OBJECT)


@given(MESSAGES)
def test_folding_an_unfolded_message_gives_it_back(message: Message) -> None:
    """No block, field or delta is lost or changed, of known and of unknown types."""
    assert fold([unfold(message)]) == message


@given(MESSAGES, st.data())
def test_batching_makes_no_difference(message: Message, data: st.DataObject) -> None:
    """The same events in any number of batches add up to the same message."""
    events = unfold(message)
    cut = data.draw(st.integers(0, len(events)))
    assert fold([events[:cut], events[cut:]]) == message


@given(MESSAGES)
def test_blocks_open_without_what_their_deltas_bring(message: Message) -> None:
    """A reader that adds up deltas gets each piece once: the opening has none of it."""
    events = unfold(message)
    opened = {e.index: e.block for e in events if isinstance(e, BlockStarted)}
    for event in events:
        if isinstance(event, Delta) and event.delta["type"] == "text_delta":
            assert opened[event.index]["text"] == ""


@pytest.mark.parametrize(
    "batches", [(), (OPENING,), (OPENING, MIDDLE), (CLOSING[-1:],)], ids=["0", "1", "2", "end"]
)
def test_a_part_is_no_message(batches: tuple[Any, ...]) -> None:
    """A stream without its beginning or its end never folds into a message."""
    with pytest.raises(ValueError, match="not whole"):
        fold(batches)


def test_text_is_joined() -> None:
    """The message's text is that of all its text blocks."""
    assert fold(WHOLE).text == "Hello"


def test_a_delta_of_no_block_is_an_error() -> None:
    """A delta for a block that never started is refused, not dropped."""
    folder = Folder()
    folder.add((Started("msg_1", "m"),))
    with pytest.raises(KeyError):
        folder.add((Delta(0, {"type": "text_delta", "text": "x"}),))
