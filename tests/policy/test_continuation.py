"""What can be continued, and how it is asked for; and how a continuation is spliced on."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.call import Call, Route, Target
from sidecard.core.event import (
    BlockStarted,
    BlockStopped,
    Delta,
    Event,
    Finished,
    Restarted,
    Started,
    Usage,
)
from sidecard.core.fold import fold
from sidecard.core.jsonio import JsonObject
from sidecard.policy.continuation import Prefill, Shown, continuing, following
from sidecard.policy.splice import Splice, total
from tests.support.author import Author, broken, check_order, cuts, text
from tests.support.script import a_call, a_message

A, B, C = Target("a"), Target("b"), Target("c")
ROUTE = Route("default", (A, B, C), 1024)
QUESTION = a_call().messages


def opened(index: int = 0, **block: object) -> BlockStarted:
    return BlockStarted(index, {"type": "text", "text": "", **block})


def more(said: str, index: int = 0) -> Delta:
    return Delta(index, {"type": "text_delta", "text": said})


def shown(*events: Event) -> Shown:
    seen = Shown()
    seen.note((Started("m", "model"), Usage(), *events))
    return seen


def prefill(seen: Shown, call: Call | None = None) -> Prefill | None:
    return seen.prefill(call or a_call())


def said(given: Prefill | None) -> JsonObject | str | None:
    """Return what the assistant's turn at the end says; None where there can't be one."""
    if given is None:
        return None
    assert given.messages[-1]["role"] == "assistant"
    content = given.messages[-1]["content"]
    return content if isinstance(content, str) else "|".join([b["text"] for b in content])


def test_the_prefill_is_all_the_text_without_its_last_whitespace() -> None:
    """Complete blocks and the open one, as one text that the API takes."""
    given = prefill(
        shown(opened(), more("a "), BlockStopped(0), opened(1), more("b"), more("c \n"))
    )
    assert said(given) == "a bc"
    assert given is not None
    assert given.echo == " \n"
    assert given.messages[:-1] == QUESTION


@pytest.mark.parametrize(
    "events",
    [
        (),
        (opened(),),
        (opened(), more(" \n\u00a0")),
        (BlockStarted(0, {"type": "thinking", "thinking": "", "signature": ""}),),
        (opened(), more("a"), BlockStopped(0), BlockStarted(1, {"type": "tool_use", "input": {}})),
        (opened(), more("a"), Delta(0, {"type": "citations_delta", "citation": {}})),
        (opened(), more("a"), Delta(0, {"type": "new_delta"})),
        (opened(citations=[{"type": "page_location"}]), more("a")),
        (opened(new_field=1), more("a")),
        (opened(), more("a"), opened(1), more("b", 1)),
        (opened(1), more("a", 1), BlockStopped(1), opened(0), more("b", 0)),
    ],
)
def test_what_is_blank_or_more_than_text_starts_anew(events: Sequence[Event]) -> None:
    """Thinking, tools, citations and what isn't known can't be given half; nor can nothing."""
    assert prefill(shown(*events)) is None


def test_empty_fields_are_no_hindrance() -> None:
    """The API writes `citations: null` where there are none."""
    assert said(prefill(shown(opened(citations=None), more("a")))) == "a"


def test_after_a_restart_only_the_new_answer_counts() -> None:
    """What is void is neither given nor in the way."""
    thought = BlockStarted(0, {"type": "thinking", "thinking": ""})
    seen = shown(thought, Restarted("a", "b", "X"), Started("n", "model"), opened(), more("new"))
    assert said(prefill(seen)) == "new"
    assert (seen.length, seen.open, seen.next_index) == (3, 0, 1)


@pytest.mark.parametrize(
    ("parameters", "possible"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, False),
        ({"thinking": {"type": "adaptive"}}, False),
        ({"thinking": {"type": "disabled"}}, True),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, False),
        ({"output_config": {"effort": "low"}}, True),
        ({"tool_choice": {"type": "any"}}, False),
        ({"tool_choice": {"type": "tool", "name": "t"}}, False),
        ({"tool_choice": {"type": "auto"}, "tools": []}, True),
    ],
)
def test_some_parameters_allow_no_prefill(parameters: JsonObject, *, possible: bool) -> None:
    """Reasoning, a schema and a demanded tool come before any text."""
    call = a_call(parameters={"max_tokens": 9, **parameters})
    assert (prefill(shown(opened(), more("a")), call) is not None) is possible


def test_a_schema_allows_no_prefill() -> None:
    """Half an object can't be given either."""
    call = a_call(output_schema={"type": "object"})
    assert prefill(shown(opened(), more("{")), call) is None


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        ("Dear", "Dear Sir"),
        ([text("Dear")], "Dear Sir"),
        ([text("1"), text("Dear")], "1|Dear Sir"),
        ([], None),
        ([{"type": "tool_use", "id": "t", "name": "t", "input": {}}], None),
    ],
)
def test_a_callers_own_prefill_is_lengthened(content: object, whole: str | None) -> None:
    """The model goes on with both as with one; where there is no text to lengthen it can't."""
    own = {"role": "assistant", "content": content}
    given = prefill(shown(opened(), more(" Sir")), a_call(messages=(*QUESTION, own)))
    assert said(given) == whole


@pytest.mark.parametrize(
    ("broke", "breaks", "names"),
    [
        ("a", {"a": 1}, "bca"),
        ("b", {"a": 1, "b": 1}, "cb"),
        ("c", {"c": 1}, "c"),
        ("c", {"c": 2}, ""),
        ("a", {"a": 2}, "bc"),
        ("a", {"a": 2, "b": 1}, "c"),
        ("unknown", {"unknown": 1}, "abc"),
    ],
)
def test_who_may_go_on(broke: str, breaks: dict[str, int], names: str) -> None:
    """The targets after the one that broke, as far as they never did, then the same once."""
    assert "".join([target.name for target in following(ROUTE, broke, breaks)]) == names


@pytest.mark.parametrize(
    ("used", "guess", "left"), [(0, 0, 100), (30, 10, 70), (1, 40, 60), (100, 0, 1), (0, 500, 1)]
)
def test_a_continuation_gets_the_tokens_that_are_left(used: int, guess: int, left: int) -> None:
    """The larger of what was reported and what the text looks like is gone; one always remains."""
    given = Prefill(QUESTION, "", guess)
    call = continuing(a_call(parameters={"max_tokens": 100}), (B,), given, used)
    assert call.parameters == {"max_tokens": left}
    assert call.route.targets == (B,)
    assert not call.continues


def splice(open_index: int | None = 0, next_index: int = 1, echo: str = "") -> Splice:
    return Splice(before=Usage(5, 5), open_index=open_index, next_index=next_index, echo=echo)


def test_the_first_text_goes_on_in_the_open_block() -> None:
    """Its opening isn't seen, later blocks follow in number, and usage is added up."""
    batch = (Started("m", "n"), Usage(1, 2), opened(), more("b"), BlockStopped(0), opened(1, a=1))
    assert splice()(batch) == (Usage(6, 7), more("b"), BlockStopped(0), opened(1, a=1))
    assert splice(next_index=4, open_index=3)((opened(), more("b"))) == (more("b", 3),)
    assert splice(None, 4)((opened(), more("b"))) == (opened(4), more("b", 4))


def test_the_open_block_ends_where_nothing_goes_on_in_it() -> None:
    """Another kind of block, or the end, closes it."""
    tool = BlockStarted(0, {"type": "tool_use", "input": {}})
    end = Finished("end_turn")
    assert splice()((tool, end)) == (BlockStopped(0), BlockStarted(1, tool.block), end)
    assert splice()((opened(), BlockStopped(0), end)) == (BlockStopped(0), end)
    assert splice(None)((opened(), BlockStopped(0), end)) == (end,)


@pytest.mark.parametrize(
    ("pieces", "seen"),
    [
        (["\n\nmore"], "more"),
        (["\n", "", "\n", "more"], "more"),
        (["more"], "more"),
        (["\nmore"], "more"),
        (["\n more"], " more"),
        (["\n\n\nmore"], "\nmore"),
        (["\n", "\n"], ""),
    ],
)
def test_whitespace_is_dropped_as_far_as_it_comes_again(pieces: list[str], seen: str) -> None:
    """Only what was left out of the prefill, in however many pieces; nothing after it differs."""
    spliced = splice(echo="\n\n")
    events = [spliced((opened(), *[more(piece) for piece in pieces], BlockStopped(0)))]
    events.append(spliced((Finished("end_turn"),)))
    texts = [e.delta["text"] for batch in events for e in batch if isinstance(e, Delta)]
    assert "".join(texts) == seen


def test_an_opening_may_have_text_already() -> None:
    """It is text like any other, and the echo may be in it."""
    assert splice(echo=" ")((opened(text=" go"),)) == (more("go"),)


def test_totals_add_up() -> None:
    """Every count is added, and the raw object is the later one's."""
    one, two = Usage(1, 2, 3, 4, 5, 6, {"a": 1}), Usage(10, 20, 30, 40, 50, 60, {"b": 1})
    assert total(one, two) == Usage(11, 22, 33, 44, 55, 66, {"b": 1})


TEXTS = st.text(st.sampled_from("ab \n\u3000é\u0301🙂"), min_size=1, max_size=8)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 200), st.integers(0, 99))
def test_text_and_splice_are_the_whole(texts: list[str], place: int, seed: int) -> None:
    """For any text in any blocks, cut anywhere, the joined events are well-formed and whole."""
    message = a_message(content=tuple([text(said) for said in texts]))
    author = Author(message, chance=Random(seed))  # noqa: S311  # a test's
    places = list(cuts(author.events()))
    first = broken(author.events(), places[place % len(places)])
    seen = Shown()
    seen.note(first)
    given = prefill(seen)
    if given is None:
        assert not "".join([e.delta["text"] for e in first if isinstance(e, Delta)]).strip()
        return
    spliced = Splice(
        before=Usage(), open_index=seen.open, next_index=seen.next_index, echo=given.echo
    )
    rest = spliced(tuple(author.events(str(said(given)))))
    check_order([*first, *rest])
    assert fold([tuple(first), rest]).text == message.text
