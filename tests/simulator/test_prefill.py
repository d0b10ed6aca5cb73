"""The simulator goes on with an answer that the request has begun, as models do that can."""

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.support.simulator import Json, ask, question

REFUSAL = (
    "This model does not support assistant message prefill. "
    "The conversation must end with a user message."
)


def begun(said: str | list[Json], **more: object) -> Json:
    """Return the question with a beginning of its answer."""
    asked = question("what is up?", **more)
    return {**asked, "messages": [*asked["messages"], {"role": "assistant", "content": said}]}


async def answer(sim: Simulator, body: Json) -> str:
    content: list[Json] = (await ask(sim, body)).json()["content"]
    return "".join([block["text"] for block in content])


async def test_the_rest_of_the_answer_follows_any_beginning(sim: Simulator) -> None:
    """Beginning and rest are the whole answer, streamed or not, wherever it was left."""
    whole = await answer(sim, question("what is up?"))
    for at in range(1, len(whole) + 1):
        if (said := whole[:at]) == said.rstrip():
            assert said + await answer(sim, begun(said)) == whole
    blocks = [{"type": "text", "text": whole[:4]}, {"type": "text", "text": whole[4:7]}]
    assert (await ask(sim, begun(blocks, stream=True))).text() == whole[7:]


async def test_limits_hold_for_the_rest(sim: Simulator) -> None:
    """Stop sequences and max_tokens count from where the request leaves it."""
    whole = await answer(sim, question("what is up?"))
    assert await answer(sim, begun(whole[:9], max_tokens=2)) == whole[9:17]
    body = (await ask(sim, begun(whole[:9], stop_sequences=["answer"]))).json()
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "answer")


async def test_nothing_follows_the_whole_answer(sim: Simulator) -> None:
    """The content is empty then, and the stream has its proper end."""
    whole = await answer(sim, question("what is up?"))
    body = (await ask(sim, begun(whole))).json()
    assert (body["content"], body["stop_reason"]) == ([], "end_turn")
    kinds = [event["type"] for event in (await ask(sim, begun(whole, stream=True))).events()]
    assert kinds == ["message_start", "ping", "message_delta", "message_stop"]


async def test_another_beginning_is_answered_in_full(sim: Simulator) -> None:
    """What isn't how the simulator would begin is no beginning to it."""
    assert await answer(sim, begun("Ahoy!")) == await answer(sim, question("what is up?"))


@pytest.mark.parametrize("said", ["so ", "so\n", [{"type": "text", "text": "so\t"}]])
async def test_a_beginning_that_ends_in_whitespace_is_refused(
    sim: Simulator, said: str | list[Json]
) -> None:
    """As the API does, in its words."""
    answered = await ask(sim, begun(said))
    assert answered.status == 400
    error = answered.json()["error"]
    assert error["type"] == "invalid_request_error"
    wording = "messages: final assistant content cannot end with trailing whitespace"
    assert error["message"] == wording


async def test_beginnings_can_be_refused_altogether(sim: Simulator) -> None:
    """With `no_prefill` as newer models do; other requests are served."""
    sim.play(Script.of({"fault": "no_prefill", "times": "always"}))
    refused = await ask(sim, begun("This"))
    assert refused.status == 400
    assert refused.json()["error"] == {"type": "invalid_request_error", "message": REFUSAL}
    assert (await ask(sim, question("what is up?"))).status == 200
