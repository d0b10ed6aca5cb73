"""What the simulator answers."""

from sidecard.simulator.server import Simulator
from tests.support.simulator import Json, ask, question

TOOL: Json = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    },
}


async def test_the_answer_quotes_the_question_and_cannot_be_mistaken(sim: Simulator) -> None:
    """The text names what the user said, and the model says that it is simulated."""
    answered = await ask(sim, question("what is up?"))
    assert answered.status == 200
    body = answered.json()
    assert "“what is up?”" in body["content"][0]["text"]
    assert body["model"] == "simulated-model-1"
    assert body["stop_reason"] == "end_turn"


async def test_the_same_question_has_the_same_answer(sim: Simulator) -> None:
    """Two equal requests get equal bodies, a stream the same id, another request another."""
    first = await ask(sim, question())
    second = await ask(sim, question())
    stream = await ask(sim, question(stream=True))
    other = await ask(sim, question("goodbye"))
    assert first.content == second.content
    assert stream.events()[0]["message"]["id"] == first.json()["id"]
    assert other.json()["id"] != first.json()["id"]
    assert first.headers["request-id"] != second.headers["request-id"]


async def test_a_stream_has_the_apis_order(sim: Simulator) -> None:
    """Preamble with a ping, deltas, and the end, in the order of the API."""
    answered = await ask(sim, question(stream=True))
    kinds = [event["type"] for event in answered.events()]
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert kinds[:4] == ["message_start", "content_block_start", "ping", "content_block_delta"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[3:-3]) == {"content_block_delta"}
    assert answered.text() == (await ask(sim, question())).json()["content"][0]["text"]


async def test_a_demanded_tool_is_used(sim: Simulator) -> None:
    """With tool_choice any or tool, the answer is a call of it that satisfies its schema."""
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
        body = (await ask(sim, question(tools=[TOOL], tool_choice=choice))).json()
        assert body["stop_reason"] == "tool_use"
        assert body["content"][0]["name"] == "get_weather"
        assert body["content"][0]["input"] == {"city": "simulated", "days": 1}


async def test_a_tool_is_used_by_choice_when_it_is_named(sim: Simulator) -> None:
    """With tool_choice auto, the answer is text unless the user's text names the tool."""
    plain = (await ask(sim, question(tools=[TOOL]))).json()
    named = (await ask(sim, question("please get_weather", tools=[TOOL]))).json()
    none = question("please get_weather", tools=[TOOL], tool_choice={"type": "none"})
    assert plain["content"][0]["type"] == "text"
    assert named["content"][0]["type"] == "tool_use"
    assert (await ask(sim, none)).json()["content"][0]["type"] == "text"


async def test_a_tool_result_is_answered_with_text(sim: Simulator) -> None:
    """The follow-up quotes the result, also when a tool is still demanded: agents' loops end."""
    asked = question(tools=[TOOL], tool_choice={"type": "any"})
    call = (await ask(sim, asked)).json()["content"]
    result = {"type": "tool_result", "tool_use_id": call[0]["id"], "content": "sunny"}
    asked["messages"] += [
        {"role": "assistant", "content": call},
        {"role": "user", "content": [result]},
    ]
    body = (await ask(sim, asked)).json()
    assert body["stop_reason"] == "end_turn"
    assert "“sunny”" in body["content"][0]["text"]


async def test_thinking_comes_first_and_signed(sim: Simulator) -> None:
    """Enabled and adaptive thinking give a thinking block with a signature, and its tokens."""
    for thinking in ({"type": "adaptive"}, {"type": "enabled", "budget_tokens": 1024}):
        body = (await ask(sim, question(thinking=thinking, max_tokens=2000))).json()
        thought, text = body["content"]
        assert thought["thinking"]
        assert thought["signature"]
        assert text["type"] == "text"
        assert body["usage"]["output_tokens_details"]["thinking_tokens"] > 0


async def test_omitted_thinking_keeps_its_signature(sim: Simulator) -> None:
    """With display omitted, the block is empty but signed."""
    thinking = {"type": "adaptive", "display": "omitted"}
    thought = (await ask(sim, question(thinking=thinking))).json()["content"][0]
    assert thought["thinking"] == ""
    assert thought["signature"]


async def test_a_stop_sequence_ends_the_text(sim: Simulator) -> None:
    """The earliest of the stop sequences cuts the text, and is named."""
    body = (await ask(sim, question(stop_sequences=["said", " answer"]))).json()
    assert body["content"][0]["text"] == "This is a simulated"
    assert body["stop_reason"] == "stop_sequence"
    assert body["stop_sequence"] == " answer"


async def test_max_tokens_cuts_the_answer(sim: Simulator) -> None:
    """No answer has more output tokens than allowed, and one that is cut says so."""
    body = (await ask(sim, question(max_tokens=3))).json()
    assert body["stop_reason"] == "max_tokens"
    assert body["usage"]["output_tokens"] == 3
    assert body["content"][0]["text"] == "This is a si"


async def test_a_tool_call_that_does_not_fit_is_left_out(sim: Simulator) -> None:
    """A call is whole or absent."""
    asked = question(max_tokens=2, tools=[TOOL], tool_choice={"type": "any"})
    body = (await ask(sim, asked)).json()
    assert body["content"] == []
    assert body["stop_reason"] == "max_tokens"


async def test_structured_output_satisfies_its_schema(sim: Simulator) -> None:
    """With output_config.format, the text is JSON of that schema."""
    output = {"format": {"type": "json_schema", "schema": TOOL["input_schema"]}}
    body = (await ask(sim, question(output_config=output))).json()
    assert body["content"][0]["text"] == '{"city":"simulated","days":1}'


async def test_a_pace_shapes_the_stream(sim: Simulator) -> None:
    """A request can ask for so many deltas of so many bytes."""
    step = {"pace": {"deltas": 200, "delta_bytes": 12}}
    answered = await ask(sim, question(stream=True, max_tokens=2000), step)
    texts = [e["delta"]["text"] for e in answered.events() if e["type"] == "content_block_delta"]
    assert [len(text) for text in texts] == [12] * 200


async def test_words_can_come_several_to_a_delta(sim: Simulator) -> None:
    """`words` sets how many words a delta has, and loses none."""
    whole = (await ask(sim, question(stream=True))).text()
    packed = await ask(sim, question(stream=True), {"pace": {"words": 5}})
    deltas = [e for e in packed.events() if e["type"] == "content_block_delta"]
    assert packed.text() == whole
    assert len(deltas) == -(-len(whole.split()) // 5)


async def test_counting_agrees_with_usage(sim: Simulator) -> None:
    """count_tokens returns what the same request is billed as input, without max_tokens too."""
    asked = question("how many?", system="Be brief.", tools=[TOOL])
    usage = (await ask(sim, asked)).json()["usage"]
    del asked["max_tokens"]
    counted = await ask(sim, asked, path="/v1/messages/count_tokens")
    assert counted.json() == {"input_tokens": usage["input_tokens"]}
