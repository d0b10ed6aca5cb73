"""Messages of every shape that JSON can give them."""

from typing import Any

from hypothesis import strategies as st

from sidecard.core.fold import OTHER_DELTAS, PARTIAL_INPUT
from tests.support.script import a_message

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)

_CUT = st.sampled_from(["{", '{"cut": "of', "nul", "1e", "{} {}"])
_UNCUT = st.sampled_from(["{}", "7", '""'])
_KNOWN_DELTAS = st.sampled_from(
    [
        {"type": "text_delta", "text": "x"},
        {"type": "text_delta"},
        {"type": "thinking_delta", "thinking": 1},
        {"type": "input_json_delta", "partial_json": "{"},
        {"type": "citations_delta", "citation": None},
    ]
)
DELTAS = st.lists(
    st.fixed_dictionaries({"type": st.just("future_delta"), "x": JSON}) | _KNOWN_DELTAS, max_size=3
)
# Blocks as they come, with any other field beside.
_GOOD = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": TEXT},
        optional={"citations": st.none() | st.lists(OBJECT, max_size=3), OTHER_DELTAS: DELTAS},
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT, "signature": TEXT}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": TEXT, "name": TEXT, "input": OBJECT}),
    st.fixed_dictionaries(
        {"type": st.just("tool_use"), "input": OBJECT, PARTIAL_INPUT: _CUT | _UNCUT}
    ),
    st.fixed_dictionaries({"type": TEXT, "data": JSON}),
)
# Blocks whose own fields hold anything, or are missing.
_ODD = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "thinking", "tool_use", "server_tool_use"]) | JSON,
        **dict.fromkeys(("text", "thinking", "signature", "input"), JSON),
        "citations": JSON | st.lists(JSON, max_size=3),
        PARTIAL_INPUT: JSON | _CUT,
        OTHER_DELTAS: JSON | DELTAS,
    },
)
BLOCKS = st.builds(lambda block, extra: {**extra, **block}, _GOOD | _ODD, OBJECT)
FIELDS = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
EXTRA = st.dictionaries(TEXT.filter(lambda key: key not in FIELDS), JSON, max_size=3)
MESSAGES = st.builds(a_message, content=st.lists(BLOCKS, max_size=4).map(tuple), extra=EXTRA)
