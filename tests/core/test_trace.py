"""Places in traces: what callers' headers say of them, and what upstreams are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.trace import Trace
from sidecard.core.trail import Trail, making

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("parent", "sampled"),
    [(f"00-{ID}-{SPAN}-01", True), (f"00-{ID}-{SPAN}-00", False), (f"cc-{ID}-{SPAN}-03-x", True)],
)
def test_a_trace_goes_on(parent: str, sampled: bool) -> None:  # noqa: FBT001
    """With its id, below its caller's span, and as sampled as it was; of later versions, too."""
    trace = Trace.of(parent, "a=b,c=d", 1.0)
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (ID, SPAN, sampled)
    sent = trace.headers("b" * 16)
    assert sent == {"traceparent": f"00-{ID}-{'b' * 16}-{sampled:02}", "tracestate": "a=b,c=d"}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        f"ff-{ID}-{SPAN}-01",
        f"00-{ID}-{SPAN}-01-more",
        f"00-{ID.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID}-{SPAN}-01\n",
    ],
)
def test_a_trace_that_makes_no_sense_is_begun_anew(parent: str) -> None:
    """As the specification wants it, without what came with it."""
    trace = Trace.of(parent, "a=b", 1.0)
    assert trace.trace_id != ID
    assert (trace.parent_id, trace.sampled, trace.state) == ("", True, "")
    assert not Trace.of(parent, "", 0.0).sampled


@given(parent=st.text() | st.from_regex(rf"00-{ID}-{SPAN}-[0-9a-f]{{2}}\Z"), state=st.text())
def test_headers_are_headers(parent: str, state: str) -> None:
    """Whatever a caller sends, what goes on is one line of printable ASCII each."""
    for value in Trace.of(parent, state, 0.5).headers(SPAN).values():
        assert value.isascii()
        assert value.isprintable()


def test_attempts_of_a_trace_have_ids_and_kinds() -> None:
    """Each its own; without a trace none is made up."""
    trail = Trail(Trace.of("", "", 1.0))
    with making("continuation"):
        trail.begin("a", 0.0)
        with making("hedge"):
            trail.begin("a", 0.0)
    trail.skip("b", 0.0, "BREAKER_OPEN")
    assert [attempt.kind for attempt in trail] == ["continuation", "hedge", ""]
    assert len({attempt.span_id for attempt in trail}) == 3
    assert Trail().begin("a", 0.0).span_id == ""


def test_what_a_call_causes_is_below_it() -> None:
    """A refresh in the background has a span of its own."""
    trace = Trace.of("", "", 1.0)
    below = trace.below()
    assert (below.trace_id, below.parent_id) == (trace.trace_id, trace.span_id)
    assert below.span_id != trace.span_id
