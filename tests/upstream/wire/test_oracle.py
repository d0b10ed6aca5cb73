"""On the same bytes, our parser and the SDK's own yield the same message: the SDK is the oracle."""

from functools import cache
from typing import Any, cast, get_args

import httpx2
import pytest
from anthropic import Anthropic, Stream
from anthropic._models import construct_type
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import ContentBlock, Message, RawContentBlockDelta, RawMessageStreamEvent
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from sidecard.core import jsonio
from sidecard.core.fold import OTHER_DELTAS, Folder
from sidecard.core.message import Message as OurMessage
from sidecard.upstream.wire.events import EventParser
from sidecard.upstream.wire.message import parse_message
from sidecard.upstream.wire.request import count_tokens_body
from tests.support.script import a_call
from tests.support.sdk_types import ANY_JSON, TEXT, instances, members
from tests.support.sse import encoded, halves, pieces, streamed

BLOCKS = members(ContentBlock)
UNKNOWN = st.builds(
    lambda kind, fields: {**fields, "type": f"future_{kind}"},
    st.sampled_from(["block", "thing"]),
    st.dictionaries(TEXT.filter(lambda name: name not in {"type", "deltas"}), ANY_JSON, max_size=3),
)
ANY_BLOCK = st.one_of([instances(block) for block in BLOCKS])


@cache
def messages(blocks: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return any message of the SDK's type, with a few of those blocks as its content."""

    def complete(message: dict[str, Any], content: list[dict[str, Any]]) -> dict[str, Any]:
        reason = message.get("stop_reason") or "end_turn"
        return {"stop_sequence": None, **message, "content": content, "stop_reason": reason}

    return st.builds(complete, instances(Message), st.lists(blocks, max_size=3))


CLIENT = Anthropic(api_key="none", base_url="http://127.0.0.1:9")


def by_the_sdk(data: bytes) -> dict[str, Any]:
    """Return the message that the SDK makes of a stream."""
    response = httpx2.Response(200, content=data, request=httpx2.Request("POST", "http://sdk"))
    events: Stream[RawMessageStreamEvent] = Stream(
        cast_to=cast("Any", RawMessageStreamEvent), response=response, client=CLIENT
    )
    snapshot, buffers = None, cast("dict[int, bytes]", {})
    for event in events:
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    return snapshot.to_dict(mode="json", warnings=False)


def by_us(data: bytes, cuts: list[int]) -> OurMessage:
    """Return the message that our parser makes of the same bytes, cut anywhere."""
    parser, folder = EventParser(), Folder()
    for piece in pieces(data, cuts):
        folder.add(parser.feed(piece))
    assert parser.failure is None
    assert parser.finished
    return folder.message()


def as_api(message: OurMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": list(message.content),
        "stop_reason": message.stop_reason,
        "stop_sequence": message.stop_sequence,
        "usage": message.usage.raw,
        **message.extra,
    }


def pruned(value: Any) -> Any:
    """Return `value` without null fields: the SDK adds them, and they mean the same as none."""
    if isinstance(value, dict):
        return {key: pruned(item) for key, item in value.items() if item is not None}
    return [pruned(item) for item in value] if isinstance(value, list) else value


MINIMAL: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-test",
    "content": [],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
ORACLE = settings(max_examples=20, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
@ORACLE
@given(data=st.data(), cuts=st.lists(st.integers(0, 10_000), max_size=5))
def test_every_block_type(block: type[BaseModel], data: st.DataObject, cuts: list[int]) -> None:
    """A streamed message with blocks of that type is the same for both, however it is cut."""
    message = data.draw(messages(instances(block)))
    stream = encoded(streamed(message))
    assert pruned(as_api(by_us(stream, cuts))) == pruned(by_the_sdk(stream))


@ORACLE
@given(message=messages(ANY_BLOCK | UNKNOWN))
def test_mixed_and_unknown_blocks(message: dict[str, Any]) -> None:
    """Blocks of all types together, unknown ones among them, are the same for both: lossless."""
    stream = encoded(streamed(message))
    ours = as_api(by_us(stream, []))
    assert pruned(ours) == pruned(by_the_sdk(stream))
    assert pruned(ours["content"]) == pruned(message["content"])


@ORACLE
@given(message=messages(ANY_BLOCK | UNKNOWN))
def test_unstreamed(message: dict[str, Any]) -> None:
    """The same message as one JSON document is the same for both."""
    parsed = as_api(parse_message(jsonio.dumps(message).encode()))
    theirs = cast("Message", construct_type(type_=Message, value=message))
    assert pruned(parsed) == pruned(theirs.to_dict(mode="json", warnings=False))


def deltas_of(delta: type[BaseModel]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return a few deltas of that type; input is JSON, as the SDK refuses any other."""
    if "partial_json" not in delta.model_fields:
        return st.lists(instances(delta), min_size=1, max_size=3)
    kind = get_args(delta.model_fields["type"].annotation)[0]
    objects = st.dictionaries(TEXT, ANY_JSON, max_size=2)
    return objects.map(
        lambda value: [{"type": kind, "partial_json": p} for p in halves(jsonio.dumps(value))]
    )


GROWS = {
    ("TextDelta", "TextBlock"),
    ("CitationsDelta", "TextBlock"),
    ("ThinkingDelta", "ThinkingBlock"),
    ("SignatureDelta", "ThinkingBlock"),
    ("InputJSONDelta", "ToolUseBlock"),
    ("InputJSONDelta", "ServerToolUseBlock"),
}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
@pytest.mark.parametrize("delta", members(RawContentBlockDelta), ids=lambda delta: delta.__name__)
@settings(ORACLE, max_examples=4)
@given(data=st.data())
def test_every_delta_type(
    delta: type[BaseModel], block: type[BaseModel], data: st.DataObject
) -> None:
    """Deltas of that type grow blocks of that type alike; what the SDK drops, we keep apart."""
    opened, deltas = data.draw(instances(block)), data.draw(deltas_of(delta))
    events = list(streamed(MINIMAL))
    events[1:1] = [
        {"type": "content_block_start", "index": 0, "content_block": opened},
        *[{"type": "content_block_delta", "index": 0, "delta": each} for each in deltas],
        {"type": "content_block_stop", "index": 0},
    ]
    ours = as_api(by_us(encoded(events), []))
    (grown,) = ours["content"]
    dropped = grown.pop(OTHER_DELTAS, [])
    assert pruned(ours) == pruned(by_the_sdk(encoded(events)))
    assert dropped == ([] if (delta.__name__, block.__name__) in GROWS else deltas)


@ORACLE
@given(message=messages(ANY_BLOCK), end=st.sampled_from([b"\n", b"\r\n"]))
def test_pings_comments_and_line_ends(message: dict[str, Any], end: bytes) -> None:
    """What is between the events, and how lines end, is skipped alike."""
    noisy = encoded([each for event in streamed(message) for each in (event, {"type": "ping"})])
    stream = (b": c\n\nevent: ping\ndata:\n\n" + noisy + b"id: 1\n").replace(b"\n", end)
    assert pruned(as_api(by_us(stream, []))) == pruned(by_the_sdk(stream))


def test_counting_sends_what_the_api_takes() -> None:
    """Of all parameters of a message, counting gets those that the SDK knows for it, no other."""
    headers = {"user_profile_id", "workspace_id"}
    known = set(MessageCountTokensParams.__annotations__) - headers
    create = set(MessageCreateParamsNonStreaming.__annotations__) - headers
    body = count_tokens_body(a_call(parameters=dict.fromkeys(create - {"model", "messages"}, 1)))
    assert set(body) == known


@pytest.mark.parametrize(
    "update",
    [
        {"output_tokens": 9},
        {"output_tokens": 9, "input_tokens": 3, "cache_read_input_tokens": None},
        {"output_tokens": 9, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 5},
        {
            "output_tokens": 9,
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        },
        {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
    ],
    ids=str,
)
def test_usage_is_merged_alike(update: dict[str, Any]) -> None:
    """Counts of message_delta replace those of message_start, and null replaces nothing."""
    usage = {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 6,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 4},
    }
    events = list(streamed(MINIMAL | {"usage": usage}))
    events[1]["usage"] = update
    stream = encoded(events)
    ours = by_us(stream, [])
    assert pruned(as_api(ours)) == pruned(by_the_sdk(stream))
    assert ours.usage.output_tokens == 9
    assert ours.usage.cache_write_1h_tokens == 4
