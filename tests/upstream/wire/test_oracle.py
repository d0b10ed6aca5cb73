"""On the same bytes, our parser and the SDK's own yield the same message: the SDK is the oracle."""

from functools import cache
from typing import Any, cast, get_args

import pytest
from anthropic._models import construct_type
from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import ContentBlock, Message, RawContentBlockDelta, RawMessageStreamEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from sidecard.core.fold import Folder
from sidecard.core.message import Message as OurMessage
from sidecard.upstream.wire.events import EventParser
from sidecard.upstream.wire.message import parse_message
from tests.support.sdk_types import ANY_JSON, TEXT, instances, members
from tests.support.sse import encoded, pieces, streamed

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


def by_the_sdk(data: bytes) -> dict[str, Any]:
    """Return the message that the SDK makes of a stream."""
    snapshot, buffers = None, cast("dict[int, bytes]", {})
    for sse in SSEDecoder().iter_bytes(iter([data])):
        event = construct_type(type_=RawMessageStreamEvent, value=sse.json())
        snapshot = accumulate_event(
            event=cast("Any", event), current_snapshot=snapshot, json_bufs=buffers
        )
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
    parsed = as_api(parse_message(encoded_json(message)))
    theirs = cast("Message", construct_type(type_=Message, value=message))
    assert pruned(parsed) == pruned(theirs.to_dict(mode="json", warnings=False))


def encoded_json(message: dict[str, Any]) -> bytes:
    from sidecard.core import jsonio  # noqa: PLC0415

    return jsonio.dumps(message).encode()


def test_every_delta_type_is_covered() -> None:
    """The streams above have every type of delta that the SDK knows: a new one fails here."""
    known = {
        "text_delta",
        "input_json_delta",
        "citations_delta",
        "thinking_delta",
        "signature_delta",
    }
    fields = [delta.model_fields["type"] for delta in members(RawContentBlockDelta)]
    assert {get_args(field.annotation)[0] for field in fields} == known


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
    opening: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    stream = encoded(
        [
            {"type": "message_start", "message": opening},
            {"type": "message_delta", "delta": stop, "usage": update},
            {"type": "message_stop"},
        ]
    )
    ours = by_us(stream, [])
    assert pruned(as_api(ours)) == pruned(by_the_sdk(stream))
    assert ours.usage.output_tokens == 9
    assert ours.usage.cache_write_1h_tokens == 4
