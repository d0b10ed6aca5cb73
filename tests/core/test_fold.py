"""`fold` and `unfold` are inverse, whatever a message holds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core import jsonio
from sidecard.core.event import BlockStarted, BlockStopped, Delta, Started
from sidecard.core.fold import OTHER_DELTAS, PARTIAL_INPUT, Folder, fold, unfold
from sidecard.core.message import Message
from tests.support.messages import JSON, MESSAGES
from tests.support.script import CLOSING, MIDDLE, OPENING, WHOLE, a_message

START = Started("msg_1", "claude-test")
INPUT: dict[str, Any] = {"type": "input_json_delta"}
OTHER: dict[str, Any] = {"type": "future_delta"}
CITED: dict[str, Any] = {"type": "citations_delta"}


def grown(block: dict[str, Any], *deltas: dict[str, Any]) -> dict[str, Any]:
    """Return what a block is after those deltas."""
    grows = [Delta(0, delta) for delta in deltas]
    batch = (START, BlockStarted(0, block), *grows, BlockStopped(0), CLOSING[-1])
    return dict(fold([batch]).content[0])


@given(MESSAGES)
def test_folding_an_unfolded_message_gives_it_back(message: Message) -> None:
    """No block, field or delta is lost or changed, of known and unknown types, however odd."""
    assert fold([unfold(message)]) == message


@given(MESSAGES, st.data())
def test_batching_makes_no_difference(message: Message, data: st.DataObject) -> None:
    """The same events in any number of batches add up to the same message."""
    events = unfold(message)
    cut = data.draw(st.integers(0, len(events)))
    assert fold([events[:cut], events[cut:]]) == message


@given(MESSAGES)
def test_unfolding_changes_no_message(message: Message) -> None:
    """Messages are shared: neither direction writes into the blocks that it was given."""
    before = jsonio.dumps(message.content)
    fold([unfold(message)])
    assert jsonio.dumps(message.content) == before


@given(MESSAGES)
def test_blocks_open_without_what_their_deltas_bring(message: Message) -> None:
    """A reader that adds up deltas gets each piece once: the opening has none of it."""
    opened: dict[int, Any] = {}
    for event in unfold(message):
        if isinstance(event, BlockStarted):
            opened[event.index] = event.block
        if isinstance(event, Delta) and opened[event.index].get("type") == "text":
            text = opened[event.index].get("text")
            assert event.delta["type"] != "text_delta" or not isinstance(text, str) or not text


@given(MESSAGES)
def test_the_text_is_that_of_the_text_blocks(message: Message) -> None:
    """Blocks of other types, and texts that are none, add nothing and break nothing."""
    texts = [b.get("text") for b in message.content if b.get("type") == "text"]
    assert message.text == "".join(text for text in texts if isinstance(text, str))


@pytest.mark.parametrize(
    ("block", "deltas", "expected"),
    [
        ({"text": "a"}, [{"type": "text_delta", "text": "b"}] * 2, {"text": "abb"}),
        ({"text": None}, [{"type": "text_delta", "text": "b"}], {"text": "b"}),
        ({}, [{"type": "text_delta", "text": "b"}], {"text": "b"}),
        ({"text": "", "citations": None}, [CITED | {"citation": {}}], {"citations": [{}]}),
        ({"citations": [{}]}, [CITED | {"citation": {"a": 1}}], {"citations": [{}, {"a": 1}]}),
        (
            {"input": {}},
            [INPUT | {"partial_json": p} for p in ('{"a"', ":1}")],
            {"input": {"a": 1}},
        ),
        ({"input": {"a": 1}}, [INPUT | {"partial_json": ""}], {"input": {"a": 1}}),
        ({"input": {}}, [INPUT | {"partial_json": '{"a'}], {"input": {}, PARTIAL_INPUT: '{"a'}),
        ({OTHER_DELTAS: [OTHER]}, [OTHER | {"x": 1}], {OTHER_DELTAS: [OTHER, OTHER | {"x": 1}]}),
    ],
)
def test_deltas_grow_a_block(
    block: dict[str, Any], deltas: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    """Text is appended, citations are collected, input is parsed when all of it is there."""
    kind = {"type": "tool_use" if "input" in block else "text"}
    opened = block | kind
    assert grown(opened, *deltas) == opened | expected
    assert opened == block | kind, "the event was changed"


@given(JSON, JSON)
def test_what_fits_no_rule_is_kept(value: Any, piece: Any) -> None:
    """A delta that its block can't take is among the others, whole, and nothing is raised."""
    deltas = [
        {"type": "text_delta", "text": piece},
        {"type": "citations_delta", "citation": piece},
        {"type": "citations_delta"},
        {"type": "signature_delta", "signature": piece},
        {"type": "future_delta", "x": piece},
    ]
    block = grown({"type": "text", "text": value, "citations": value}, *deltas)
    assert block[OTHER_DELTAS][-2:] == deltas[-2:]
    assert (deltas[0] in block[OTHER_DELTAS]) == (not _takes(value, str) or type(piece) is not str)
    assert (deltas[1] in block[OTHER_DELTAS]) == (
        not _takes(value, list) or type(piece) is not dict
    )


def _takes(base: Any, kind: type) -> bool:
    return base is None or isinstance(base, kind)


@pytest.mark.parametrize(
    "batches",
    [(), (OPENING,), (OPENING, MIDDLE), (CLOSING[-1:],), (OPENING, CLOSING[-1:])],
    ids=["nothing", "opening", "no end", "end alone", "open block"],
)
def test_a_part_is_no_message(batches: tuple[Any, ...]) -> None:
    """A stream without its beginning, its end, or a block's end never folds into a message."""
    with pytest.raises(ValueError, match="not whole"):
        fold(batches)


def test_text_is_joined() -> None:
    """The message's text is that of all its text blocks."""
    assert fold(WHOLE).text == "Hello"


@pytest.mark.parametrize("before", [(), (BlockStarted(0, {}), BlockStopped(0))])
def test_a_delta_of_no_open_block_is_an_error(before: tuple[Any, ...]) -> None:
    """A delta for a block that never started, or has stopped, is refused, not dropped."""
    folder = Folder()
    folder.add((START, *before))
    with pytest.raises(KeyError):
        folder.add((Delta(0, {"type": "text_delta", "text": "x"}),))


def test_numbers_out_of_bounds_stay_in_the_opening() -> None:
    """Input that can't be written as JSON again is still the same after unfolding."""
    message = a_message(content=({"type": "tool_use", "input": {"n": jsonio.loads("1e999")}},))
    assert fold([unfold(message)]) == message
