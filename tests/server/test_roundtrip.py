"""Blocks between JSON and the contract: nothing is lost, whichever way they go."""

import base64
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from sidecard.core import jsonio
from sidecard.server.wire.blocks_in import block_to_json
from sidecard.server.wire.blocks_out import block_fields
from sidecard.server.wire.violations import Violations
from sidecard.v1 import content_pb2 as pb
from sidecard.v1 import stream_pb2

Json = Any

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3)
FILES = st.binary(max_size=8).map(lambda data: base64.b64encode(data).decode())
ODD = VALUES | st.sampled_from(["", [], {}, [{}], "YR==", "a b"])
CONTROLS = st.sampled_from(
    [
        {"type": "ephemeral"},
        {"type": "ephemeral", "ttl": "5m"},
        {"type": "ephemeral", "ttl": "1h"},
        {"type": "ephemeral", "ttl": "2h"},
        {"type": "ephemeral", "ttl": "5m", "scope": "x"},
    ]
)
KINDS = ["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"]


def sources(blocks: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {
            "type": st.sampled_from(["base64", "url", "file", "text", "content", "new"]),
        },
        optional={
            "media_type": st.sampled_from(["image/png", "application/pdf", "text/plain", "x"])
            | ODD,
            "data": FILES | ODD,
            "url": st.text(max_size=8) | ODD,
            "file_id": st.text(max_size=8) | ODD,
            "content": st.lists(blocks, max_size=2) | ODD,
        },
    )


def shaped(blocks: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Return blocks of known and unknown types with fields that fit, and some that don't."""
    return st.fixed_dictionaries(
        {"type": st.sampled_from([*KINDS, "server_tool_use"]) | st.text(max_size=5)},
        optional={
            "text": st.text() | ODD,
            "citations": st.lists(OBJECTS, max_size=2) | st.just({"enabled": True}) | ODD,
            "source": sources(blocks) | ODD,
            "title": st.text(max_size=5) | ODD,
            "context": st.text(max_size=5) | ODD,
            "id": st.text(max_size=5) | ODD,
            "name": st.text(max_size=5) | ODD,
            "input": OBJECTS | ODD,
            "tool_use_id": st.text(max_size=5) | ODD,
            "content": st.lists(blocks, max_size=2) | ODD,
            "is_error": st.booleans() | ODD,
            "thinking": st.text(max_size=5) | ODD,
            "signature": st.text(max_size=5) | ODD,
            "data": st.text(max_size=5) | ODD,
            "cache_control": CONTROLS | ODD,
            "new field": VALUES,
            "fields": VALUES,
        },
    )


BLOCKS = st.deferred(lambda: shaped(st.just({"type": "text", "text": "x"}) | shaped(OBJECTS)))


def strict(value: Json) -> Json:
    """Return `value` with true told apart from 1, which Python takes for equal; 5.0 stays 5."""
    if isinstance(value, dict):
        return {key: strict(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [strict(inner) for inner in value]
    return (value,) if isinstance(value, bool) else value


def there(block: Json) -> pb.ContentBlock:
    """Return the message that a block becomes, after a trip over the wire inside a stream."""
    event = stream_pb2.StreamEvent(block_started=block_fields(block))
    return stream_pb2.StreamEvent.FromString(event.SerializeToString()).block_started


def back(block: pb.ContentBlock) -> Json:
    return block_to_json(block, "b", Violations())


def nested(depth: int) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


@given(BLOCKS)
@example({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "YR=="}})
@example({"type": "text", "text": "x", "citations": None, "index": 2**53 + 1})
@example({"type": "text", "text": "x", "extra": {"n": -0.0, "big": 1e300}})
@example({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": ""}})
@example({"type": "tool_use", "id": "i", "name": "n", "input": {"n": 10**40}, "caller": {}})
@example({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}, "citations": []})
def test_json_comes_back_as_it_was(block: Json) -> None:
    """A block of any type, with whatever odd fields, survives the contract."""
    assert strict(back(there(block))) == strict(block)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda n: n != 0)
PLAIN = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.recursive(
        st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=4,
    ),
    min_size=1,
    max_size=2,
)
TEXTS = st.text(max_size=5)


def typed(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Return messages of modelled blocks, as the keyword arguments that make them."""
    data = st.binary(min_size=1, max_size=5)
    images = st.one_of(
        st.fixed_dictionaries({"data": data, "media_type": st.sampled_from(["image/gif"])}),
        st.fixed_dictionaries({"url": TEXTS}),
        st.fixed_dictionaries({"file_id": TEXTS}),
    )
    sources = st.sampled_from(["text", "url", "file_id"]).flatmap(
        lambda key: st.fixed_dictionaries({key: TEXTS})
    ) | st.one_of(
        st.fixed_dictionaries({"data": data}),
        st.fixed_dictionaries(
            {"blocks": st.fixed_dictionaries({"blocks": st.lists(inner, max_size=2)})}
        ),
    )
    about = st.fixed_dictionaries({"title": TEXTS, "context": TEXTS, "citations": st.booleans()})
    arguments = st.dictionaries(TEXTS, SCALARS, max_size=2).map(jsonio.dumps)
    kinds = {
        "text": st.fixed_dictionaries({"text": TEXTS, "citations": st.lists(PLAIN, max_size=2)}),
        "image": images,
        "document": st.builds(lambda a, b: {**a, **b}, sources, about),
        "tool_use": st.fixed_dictionaries({"id": TEXTS, "name": TEXTS, "input_json": arguments}),
        "tool_result": st.fixed_dictionaries(
            {
                "tool_use_id": TEXTS,
                "content": st.lists(inner, max_size=2),
                "is_error": st.booleans(),
            }
        ),
        "thinking": st.fixed_dictionaries({"thinking": TEXTS, "signature": TEXTS}),
        "redacted_thinking": st.fixed_dictionaries({"data": TEXTS}),
    }
    more = {
        "cache_control": st.sampled_from(
            [{}, {"ttl": {"seconds": 300}}, {"ttl": {"seconds": 3600}}]
        ),
        "extra": PLAIN,
    }
    return st.one_of(
        [st.fixed_dictionaries({kind: fields}, optional=more) for kind, fields in kinds.items()]
    )


@given(typed(typed(st.just({"text": {"text": "t"}}))))
def test_messages_come_back_as_they_were(fields: Json) -> None:
    """A caller's modelled block is the same message after a trip through JSON."""
    block = pb.ContentBlock(**fields)
    assert there(back(block)) == block


def test_what_a_struct_would_change_goes_as_text() -> None:
    """Numbers beyond a double's and nesting beyond what readers take are raw_json."""
    big = {"type": "new", "n": 2**53 + 1}
    deep = {"type": "new", "deep": nested(90)}
    assert there({"type": "new", "n": 2**53}).WhichOneof("block") == "raw"
    assert there(big).WhichOneof("block") == there(deep).WhichOneof("block") == "raw_json"
    assert [back(there(block)) for block in (big, deep)] == [big, deep]


def test_deep_blocks_cross_the_wire() -> None:
    """At every depth that JSON is read in, a block of every type is a message that parses."""
    for depth in range(0, 98, 3):
        value = nested(depth)
        for block in (
            {"type": "text", "text": "x", "new": value},
            {"type": "text", "text": "x", "citations": [value] if depth else []},
            {"type": "tool_use", "id": "i", "name": "n", "input": {"v": value}},
            {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "new", "v": value}]},
            {
                "type": "document",
                "source": {"type": "content", "content": [{"type": "n", "v": value}]},
            },
        ):
            assert back(there(block)) == block


def test_nested_results_cross_the_wire() -> None:
    """Results inside results are messages inside messages, as deep as readers take them."""
    block: Json = {"type": "text", "text": "x"}
    for _ in range(60):
        block = {"type": "tool_result", "tool_use_id": "i", "content": [block]}
        assert back(there(block)) == block
