"""Who is asked after an answer that breaks its schema, and with what words."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sidecard.core.call import Call, Structured, Target
from sidecard.core.event import OutputViolation
from sidecard.core.jsonio import JsonObject
from sidecard.policy.structured import CUT, REFUSED


class Wrong(NamedTuple):
    """An answer that doesn't satisfy its schema: whose, why it stopped, what it said and where."""

    target: str
    stop_reason: str
    text: str
    violations: tuple[OutputViolation, ...]


def next_call(call: Call, asked: Call, wrong: Wrong, reasks: int) -> Call | None:
    """Return what is asked after a wrong answer to `asked`; None when that is of no use.

    With `reasks` left, the one that answered is told what is wrong. One that refused won't change
    its mind: the next target is asked what the caller did. What was cut off would be cut off again.
    """
    names = [each.name for each in asked.route.targets]
    if wrong.stop_reason in CUT or asked.attempts_left < 1 or wrong.target not in names:
        return None
    rest = asked.route.targets[names.index(wrong.target) :]
    if reasks > 0 and wrong.stop_reason != REFUSED:
        return replace(_bound(asked, rest), messages=_told(asked.messages, wrong))
    return replace(_bound(asked, rest[1:]), messages=call.messages) if len(rest) > 1 else None


def prompted(call: Call, names: Sequence[str]) -> Call:
    """Return the call with the schema in the prompt for the targets of those names."""
    targets = [
        replace(t, structured=Structured.PROMPT)
        if t.name in names and t.structured is Structured.AUTO
        else t
        for t in call.route.targets
    ]
    return _bound(call, tuple(targets))


def _bound(call: Call, targets: tuple[Target, ...]) -> Call:
    """Return the call for those targets, bound for the first."""
    return replace(call, route=replace(call.route, targets=targets)).to(targets[0])


def _told(messages: tuple[JsonObject, ...], wrong: Wrong) -> tuple[JsonObject, ...]:
    """Return the conversation with the answer and what is wrong with it.

    The API takes no blank block, so that a blank answer is left out.
    """
    places = [f"- {v.path or 'the whole'}: {v.description}" for v in wrong.violations]
    told = "\n".join(
        [
            "That answer doesn't satisfy the JSON Schema that was asked for:",
            *places,
            "Answer again, with the corrected JSON and nothing else.",
        ]
    )
    answered = (
        ({"role": "assistant", "content": [_block(wrong.text)]},) if wrong.text.strip() else ()
    )
    return (*messages, *answered, {"role": "user", "content": [_block(told)]})


def _block(text: str) -> JsonObject:
    return {"type": "text", "text": text.rstrip()}
