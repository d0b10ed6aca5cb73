"""Usage as the upstream writes it: every count that is paid for, however it comes."""

import pytest

from sidecard.core import jsonio
from sidecard.core.event import Usage
from sidecard.core.jsonio import JsonObject
from sidecard.upstream.wire.events import EventParser
from sidecard.upstream.wire.message import parse_message
from sidecard.upstream.wire.usage import UNKNOWN, usage_of

STEP = {"input_tokens": 3, "output_tokens": 2}
FULL = {
    "input_tokens": 10,
    "output_tokens": 20,
    "cache_read_input_tokens": 30,
    "cache_creation_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    "service_tier": "standard",
    "inference_geo": "us",
    "speed": "fast",
    "iterations": [{"type": "message", **STEP}, {"type": "compaction", **STEP}],
}


def counted(usage: Usage) -> tuple[int, ...]:
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.web_search_requests,
    )


def unary(usage: JsonObject) -> Usage:
    body = {"type": "message", "content": [], "stop_reason": "end_turn", "usage": usage}
    return parse_message(jsonio.dumps(body).encode()).usage


def streamed(usage: JsonObject) -> Usage:
    """Return what a stream says that tells of the output, and of what came with it, at its end."""
    late = {"output_tokens", "server_tool_use", "iterations"}
    early = {key: value for key, value in usage.items() if key not in late}
    events = [
        {"type": "message_start", "message": {"usage": {**early, "output_tokens": 1}}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {key: usage[key] for key in late},
        },
    ]
    text = "".join(f"data: {jsonio.dumps(event)}\n\n" for event in events)
    return [e for e in EventParser().feed(text.encode()) if isinstance(e, Usage)][-1]


@pytest.mark.parametrize("read", [unary, streamed])
def test_nothing_that_is_paid_for_is_lost(read: type[Usage]) -> None:
    """Both ways to answer give the same counts, and the rest as it is."""
    usage = read(FULL)  # type: ignore[arg-type]
    assert counted(usage) == (10, 20, 30, 100, 60, 2)
    assert usage.raw == FULL
    [(model, apart)] = usage.apart
    assert (model, counted(apart)) == ("", (3, 2, 0, 0, 0, 0))
    assert apart.raw.items() >= {"inference_geo": "us", "speed": "fast"}.items()


def test_an_advisor_is_another_model() -> None:
    """Its tokens have its own price, at the speed of no other; a nameless one's isn't known."""
    named = {"type": "advisor_message", "model": "claude-opus-5-5", **STEP}
    usage = usage_of({**FULL, "iterations": [named, {"type": "advisor_message", **STEP}]})
    assert [model for model, _ in usage.apart] == ["claude-opus-5-5", UNKNOWN]
    assert "speed" not in usage.apart[0][1].raw


@pytest.mark.parametrize("steps", [[{"type": "new", **STEP}], [None], ["x"], "x", {"a": 1}, [{}]])
def test_unknown_steps_are_of_unknown_cost(steps: object) -> None:
    """What this version doesn't know is told as that, never left out."""
    assert [model for model, _ in usage_of({**FULL, "iterations": steps}).apart] == [UNKNOWN]
