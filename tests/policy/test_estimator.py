"""The estimator: what it learns of a model, and that its upper bound is one all the same."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.call import Call, Structured, Target
from sidecard.core.event import Usage
from sidecard.core.jsonio import JsonObject
from sidecard.policy.estimate import MARGIN
from sidecard.policy.estimator import Estimator
from tests.support.script import a_call

WORDS = "Some words that are asked again and again. " * 50


def asking(*content: JsonObject) -> Call:
    return a_call(messages=({"role": "user", "content": list(content)},))


def plain(text: str) -> Call:
    return asking({"type": "text", "text": text})


def taught(estimator: Estimator, times: float, calls: int = 1, model: str = "m") -> None:
    """Have questions turn out to have so many times the tokens that were guessed."""
    for _ in range(calls):
        call = plain(WORDS)
        guessed = Estimator().expected(call, model)
        estimator.upper(call, model)
        estimator.learn(call, model, Usage(round(times * guessed), 1))


def test_it_comes_near_what_is_usual() -> None:
    """After a few calls the expectation is what the model's calls have, and no other model's."""
    estimator, call = Estimator(), plain(WORDS)
    first = estimator.expected(call, "m")
    taught(estimator, 0.6, 60)
    assert estimator.expected(call, "m") == pytest.approx(0.6 * first, rel=0.05)
    assert estimator.expected(call, "other") == first


def test_the_upper_bound_never_falls_below_the_margin() -> None:
    """However small a model's questions turn out, the next may be in another script."""
    estimator, call = Estimator(), plain(WORDS)
    first = estimator.upper(call, "m")
    taught(estimator, 0.5, 100)
    assert estimator.upper(call, "m") == first


def test_the_upper_bound_rises_at_once_and_falls_slowly() -> None:
    """One question above it is enough; ten below it are hardly seen, and 400 bring it back."""
    estimator, call = Estimator(), plain(WORDS)
    expected, first = estimator.expected(call, "m"), estimator.upper(call, "m")
    taught(estimator, 3.0)
    raised = estimator.upper(call, "m")
    assert raised >= 3 * expected
    taught(estimator, 1.0, 10)
    assert first < 0.95 * raised < estimator.upper(call, "m") * 1.1
    taught(estimator, 1.0, 400)
    assert estimator.upper(call, "m") == pytest.approx(first, rel=0.05)


@given(st.lists(st.floats(0.1, 1.0 + MARGIN), max_size=30))
def test_what_is_within_the_margin_is_never_under(times: list[float]) -> None:
    """Whatever was learned before, a question within the stated margin is not underestimated."""
    estimator, call = Estimator(), plain(WORDS)
    for each in times:
        taught(estimator, each)
    assert estimator.upper(call, "m") >= Estimator().expected(call, "m") * (1.0 + MARGIN)


def test_what_cannot_be_compared_is_not_learned() -> None:
    """Files, tools that the upstream ran, lost usage and questions that nobody estimated."""
    estimator = Estimator()
    pictured = asking({"type": "image", "source": {"type": "url", "url": "https://a.b/c.png"}})
    searched = Usage(90_000, 1, raw={"server_tool_use": {"web_search_requests": 1}})
    for call, usage in (
        (pictured, Usage(90_000)),
        (plain(WORDS), searched),
        (plain(WORDS), Usage()),
    ):
        before = estimator.upper(call, "m")
        estimator.learn(call, "m", usage)
        assert estimator.upper(call, "m") == before
    unasked = plain(WORDS)
    estimator.learn(unasked, "m", Usage(90_000))
    assert estimator.status() == {"m": {"usual": 1.0, "lift": 1.0}}


def test_another_question_on_the_same_trail_is_estimated_anew() -> None:
    """A continuation asks more than the call that it continues."""
    estimator, call = Estimator(), plain("short")
    longer = a_call(messages=plain(WORDS).messages, trail=call.trail)
    small = estimator.upper(call, "m")
    assert estimator.upper(longer, "m") > 10 * small
    assert estimator.upper(call, "m") == small


def test_files_are_at_their_most_in_the_upper_bound() -> None:
    """A picture is of the largest kind, a document that can't be seen is a long one."""
    estimator = Estimator()
    data = {"type": "base64", "media_type": "application/pdf", "data": "A" * 100_000}
    kinds: list[tuple[JsonObject, int]] = [
        ({"type": "image", "source": {"type": "url", "url": "u"}}, 4_800),
        ({"type": "document", "source": data}, 25_000),
        ({"type": "document", "source": {"type": "url", "url": "u"}}, 200_000),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, 200_000),
        ({"type": "document", "source": {"type": "text", "data": WORDS}}, 500),
    ]
    for block, least in kinds:
        assert least <= estimator.upper(asking(block), "m") <= 2 * least + 200


def test_a_schema_counts_in_the_form_that_the_target_gets_it() -> None:
    """As the parameter, which the API has words of its own for, or in the prompt."""
    told = {"type": "string", "description": "What this one is. " * 50}
    schema = {"type": "object", "properties": {"a": told}, "additionalProperties": False}
    estimator, call = Estimator(), plain(WORDS)
    bare = estimator.upper(call, "m")
    asked = {
        form: estimator.upper(
            replace(call, output_schema=schema, target=Target("m", structured=form)), "m"
        )
        for form in (Structured.NATIVE, Structured.PROMPT)
    }
    assert asked[Structured.NATIVE] > asked[Structured.PROMPT] > bare + 200
