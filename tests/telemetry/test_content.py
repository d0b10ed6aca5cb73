"""What lines have of content: as much as is wanted, and never a key."""

from dataclasses import replace

import pytest

from sidecard.core.event import Batch, BlockStarted, Delta, Restarted
from sidecard.core.message import Message
from sidecard.policy.redaction import Redactor
from sidecard.telemetry.content import Content
from tests.support.script import a_call

KEY = "sk-ant-api03-abcdefghijklmnop"
FULL = Content("full", Redactor(), most_chars=100)
PICTURE = {"type": "image", "source": {"type": "base64", "data": "A" * 5_000}}


def user(*content: object) -> dict[str, object]:
    return {"role": "user", "content": list(content)}


def text(piece: str, index: int = 0) -> Delta:
    return Delta(index, {"type": "text_delta", "text": piece})


def test_nothing_is_shown_unless_wanted() -> None:
    """With `none` there is neither fact."""
    call = a_call()
    call.trail.answer = Message("m", "m", ({"type": "text", "text": "hi"},), "end_turn")
    assert Content("none", Redactor(), most_chars=100)(call) == {}


@pytest.mark.parametrize("most", range(1, 60))
def test_a_cut_leaves_no_part_of_a_key(most: int) -> None:
    """Wherever the text is cut: what is hidden is hidden before."""
    call = replace(a_call(), messages=(user({"type": "text", "text": f"use {KEY}, {'x' * 200}"}),))
    shown = Content("full", Redactor(), most_chars=most)(call)["prompt"]
    assert len(shown) == most + 1
    assert shown.endswith("…")
    assert "sk-" not in shown


def test_of_a_file_the_size_is_shown() -> None:
    """A picture is no text that anybody reads in a log."""
    call = replace(a_call(), messages=(user(PICTURE),))
    shown = Content("full", Redactor(), most_chars=1_000)(call)["prompt"]
    assert "5000 characters" in shown
    assert "AAAA" not in shown


def test_a_broken_stream_shows_what_came() -> None:
    """In the order of its blocks; and what was said to be void isn't shown."""
    opened = BlockStarted(1, {"type": "tool_use", "name": "look", "input": {}})
    arguments = Delta(1, {"type": "input_json_delta", "partial_json": '{"a'})
    batches: list[Batch] = [
        (text("void"), Restarted("a", "b", "UPSTREAM_INTERRUPTED")),
        (text("Hel"),),
        (opened, arguments, text("lo")),
    ]
    call = a_call()
    call.trail.answer = batches
    assert FULL(call)["answer"] == 'Hello\nlook: {"a'


def test_a_key_that_came_in_pieces_is_hidden() -> None:
    """The pieces of a stream are joined before they are looked at."""
    call = a_call()
    call.trail.answer = [(text(KEY[:9]),), (text(KEY[9:]),)]
    assert FULL(call)["answer"] == "[key]"
