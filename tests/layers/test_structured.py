"""`Structured`: an answer satisfies its schema, is asked for again, or is an error."""

from dataclasses import replace

import pytest

from sidecard.core.call import Call, Mode, Priority
from sidecard.core.call import Structured as Form
from sidecard.core.errors import (
    InvalidCall,
    InvalidOutput,
    UpstreamRefused,
    UpstreamUnavailable,
)
from sidecard.core.event import Usage
from sidecard.core.note import AskedAgain
from sidecard.core.outcome import Ending
from sidecard.core.reply import Reply
from tests.support.caching import cached
from tests.support.conformance import Ends
from tests.support.script import a_call, a_message
from tests.support.structured import (
    BAD,
    FIRST,
    GOOD,
    ROUTE,
    SCHEMA,
    Model,
    World,
    asking,
    saying,
    texts,
)


async def test_a_valid_answer_is_passed_on_with_its_json() -> None:
    """It is the same reply, so that whatever hangs on it ends with it."""
    model = Model('{"a": 1}')
    world = World(model)
    reply = await world.layer(asking())
    assert model.ends.heard == []
    message = await reply.message()
    assert (message.output_json, message.text) == (GOOD, '{"a": 1}')
    assert model.ends.only.ending is Ending.COMPLETED
    assert world.verdicts == ["plain"]


@pytest.mark.parametrize(
    ("text", "verdict"), [(f"Sure: {GOOD}", "extracted"), ('{"a": 1,}', "repaired")]
)
async def test_what_needs_no_model_is_done_without_one(text: str, verdict: str) -> None:
    """Nobody is asked again, and the text stays as it was written."""
    model = Model(text)
    world = World(model)
    message = await (await world.layer(asking())).message()
    assert (message.output_json, message.text, len(model.calls)) == (GOOD, text, 1)
    assert world.verdicts == [verdict]


async def test_an_invalid_answer_is_asked_for_again_with_what_is_wrong() -> None:
    """The same target, the conversation so far, the same deadline; and both are paid for."""
    model = Model(BAD, GOOD)
    world = World(model)
    call = asking()
    reply = await world.layer(call)
    ends = Ends()
    reply.on_end(ends)
    message = await reply.message()
    assert message.output_json == GOOD
    first, second = model.calls
    assert second.deadline == first.deadline
    assert second.trail is call.trail
    assert second.target.name == "claude-one"
    (_, answered, told) = texts(second)
    assert answered == ("assistant", BAD)
    assert told[0] == "user"
    assert "/a" in told[1]
    assert "integer" in told[1]
    assert ends.only.usage == Usage(input_tokens=14, output_tokens=6)
    assert [end.ending for end in model.ends.heard] == [Ending.COMPLETED] * 2
    assert [end.usage for end in model.ends.heard] == [Usage(7, 3)] * 2
    assert world.verdicts == ["reasked"]
    assert not reply.head.degraded


async def test_then_the_next_target_is_asked_afresh() -> None:
    """With the question alone, and marked as what it is."""
    model = Model(BAD, BAD, GOOD)
    world = World(model)
    reply = await world.layer(asking())
    assert (await reply.message()).output_json == GOOD
    assert [c.target.name for c in model.calls] == ["claude-one", "claude-one", "claude-two"]
    assert texts(model.calls[2]) == texts(model.calls[0])
    assert reply.head.degraded
    asked = [(note.target, note.to) for note in world.notes if isinstance(note, AskedAgain)]
    assert asked == [("claude-one", "claude-one"), ("claude-one", "claude-two")]


async def test_at_last_it_is_an_error_with_the_text_and_what_is_wrong() -> None:
    """The message says nothing of the answer; the details do."""
    model = Model(BAD, BAD, '{"a": "secret"}')
    world = World(model)
    with pytest.raises(InvalidOutput) as raised:
        await world.layer(asking())
    error = raised.value
    assert (error.raw, error.target) == ('{"a": "secret"}', "claude-two")
    assert [violation.field for violation in error.violations] == ["/a"]
    assert "secret" not in error.message
    assert world.verdicts == ["failed"]
    assert len(model.ends.heard) == 3


async def test_without_reasks_the_next_target_comes_at_once() -> None:
    """As the configuration wants it."""
    model = Model(BAD, GOOD)
    await (await World(model, reasks=0).layer(asking())).message()
    assert [call.target.name for call in model.calls] == ["claude-one", "claude-two"]


async def test_the_cap_on_attempts_holds() -> None:
    """No more is asked than the route allows for one call."""
    model = Model(BAD, BAD, GOOD)
    route = replace(ROUTE, max_attempts=2)
    with pytest.raises(InvalidOutput):
        await World(model, reasks=5).layer(asking(route=route))
    assert len(model.calls) == 2


async def test_after_the_deadline_nothing_is_asked() -> None:
    """The error is there at once."""
    model = Model(BAD, GOOD)
    with pytest.raises(InvalidOutput):
        await World(model).layer(asking(deadline=0.0))
    assert len(model.calls) == 1


async def test_when_asking_again_fails_the_answer_is_told_all_the_same() -> None:
    """With why there was no better one."""
    model = Model(BAD, UpstreamUnavailable("down"))
    world = World(model)
    with pytest.raises(InvalidOutput) as raised:
        await world.layer(asking())
    assert raised.value.message.endswith("asking again failed: UPSTREAM_UNAVAILABLE")
    assert raised.value.raw == BAD
    assert world.verdicts == ["failed"]


@pytest.mark.parametrize("stop_reason", ["max_tokens", "model_context_window_exceeded"])
@pytest.mark.parametrize("mode", list(Mode))
async def test_what_was_cut_off_is_invalid_however_it_looks(stop_reason: str, mode: Mode) -> None:
    """And isn't asked for again: it would be cut off again."""
    model = Model(saying(GOOD, stop_reason))
    with pytest.raises(InvalidOutput) as raised:
        await (await World(model).layer(asking(mode))).message()
    assert "was cut off" in raised.value.violations[0].description
    assert len(model.calls) == 1


async def test_one_that_refuses_is_not_asked_twice() -> None:
    """The next target may see it otherwise."""
    model = Model(saying("No.", "refusal"), saying("No.", "refusal"))
    with pytest.raises(InvalidOutput) as raised:
        await World(model).layer(asking())
    assert [call.target.name for call in model.calls] == ["claude-one", "claude-two"]
    assert raised.value.violations[0].description == "the model refused to answer"


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("stop_reason", ["tool_use", "pause_turn"])
async def test_what_is_still_to_come_is_not_judged(stop_reason: str, mode: Mode) -> None:
    """A call for a tool passes: the answer comes when the tool has."""
    block = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}
    world = World(Model(a_message(content=(block,), stop_reason=stop_reason)))
    message = await (await world.layer(asking(mode))).message()
    assert (message.content, message.output_json) == ((block,), "")
    assert world.verdicts == []


async def test_a_bad_schema_is_the_callers_mistake() -> None:
    """Found before anything is asked, with its place."""
    model = Model()
    with pytest.raises(InvalidCall, match=r"output_schema: at /properties/a/type") as raised:
        await World(model).layer(asking(output_schema={"properties": {"a": {"type": "int"}}}))
    assert raised.value.violations[0].field == "output_schema"
    assert model.calls == []


async def test_a_prefilled_beginning_counts() -> None:
    """The answer is what the caller began and the model went on with."""
    turns = (*a_call().messages, {"role": "assistant", "content": '{"a"'})
    message = await (await World(Model(": 1}")).layer(asking(messages=turns))).message()
    assert message.output_json == GOOD


async def test_a_target_that_refuses_the_parameter_gets_the_schema_in_the_prompt() -> None:
    """And from then on at once; another schema is tried again."""
    refusal = UpstreamRefused("output_config.format: not supported", target="claude-one")
    model = Model(refusal, GOOD, GOOD, GOOD)
    layer = World(model).layer
    for schema in (SCHEMA, SCHEMA, {"type": "object"}):
        await (await layer(asking(output_schema=schema))).message()
    forms = [call.target.structured for call in model.calls]
    assert forms == [Form.AUTO, Form.PROMPT, Form.PROMPT, Form.AUTO]


@pytest.mark.parametrize(
    ("form", "message"),
    [(Form.NATIVE, "output_config.format: no"), (Form.AUTO, "messages.0: no"), (Form.PROMPT, "x")],
)
async def test_other_refusals_are_the_callers(form: Form, message: str) -> None:
    """As is one where the operator wants the parameter."""
    model = Model(UpstreamRefused(message, target="claude-one"))
    target = replace(FIRST, structured=form)
    with pytest.raises(UpstreamRefused):
        await World(model).layer(asking(route=replace(ROUTE, targets=(target,)), target=target))
    assert len(model.calls) == 1


@pytest.mark.parametrize(("output_json", "asked"), [("", 2), (GOOD, 1)])
async def test_what_was_kept_unchecked_is_none_to_a_schema(output_json: str, asked: int) -> None:
    """As by a version that checked nothing: it is asked for again."""
    model = Model(*[replace(saying(GOOD), output_json=output_json)] * 2)
    cache = cached(model, model.clock)
    for _ in range(2):
        await (await cache(asking())).message()
    assert len(model.calls) == asked


async def test_who_joins_meanwhile_has_a_say_in_further_questions() -> None:
    """They have the time of whoever waits longest, and are as urgent as the most urgent one."""
    model = Model(BAD, BAD, GOOD)
    call = asking(deadline=5e6, priority=Priority.BATCH)

    async def joined(asked: Call) -> Reply:
        if len(model.calls) == 1:
            # As a flight does with the call that is its own.
            object.__setattr__(call, "deadline", 9e6)
            object.__setattr__(call, "priority", Priority.INTERACTIVE)
        return await model(asked)

    assert (await (await World(joined, reasks=2).layer(call)).message()).output_json == GOOD
    last = model.calls[-1]
    assert (last.deadline, last.priority) == (9e6, Priority.INTERACTIVE)
