"""Right answers in unusual bytes, and answers out of contract."""

import re
from typing import Any

import pytest

from sidecard.simulator.server import Simulator
from tests.support.simulator import Answered, Json, ask, opened, question

STREAM = question("héllo 漢字 🙂", stream=True)


def decoded(content: bytes) -> list[Json]:
    """Read an event stream by its specification, known events alone."""
    events = []
    for block in re.split(r"\r\n\r\n|\n\n|\r\r", content.decode()):
        fields: dict[str, list[str]] = {}
        for line in re.split(r"\r\n|\n|\r", block):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        if fields.get("event", ["aurora"]) != ["aurora"]:
            events.append(Answered(200, {}, "\n".join(fields["data"]).encode()).json())
    return events


@pytest.mark.parametrize(
    ("style", "sign"),
    [
        ({"newline": "crlf"}, b"\r\n\r\n"),
        ({"newline": "cr"}, b"\r\r"),
        ({"space": False}, b"\ndata:{"),
        ({"comments": True}, b"\n:\n"),
        ({"unknown_events": True}, b"event: aurora\n"),
        ({"split_data": True}, b"\ndata: }\n"),
        ({"newline": "crlf", "comments": True, "unknown_events": True}, b"\r\n:\r\n"),
    ],
)
async def test_other_framing_is_the_same_message(sim: Simulator, style: Json, sign: bytes) -> None:
    """Whatever the event-stream format allows, the events are the same."""
    answered = await ask(sim, STREAM, {"fault": "framing", **style})
    assert sign in answered.content
    assert decoded(answered.content) == (await ask(sim, STREAM)).events()


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_pieces_cut_lines_and_characters(sim: Simulator, size: int) -> None:
    """Each HTTP chunk has so few bytes, and all of them make the same answer."""
    step = {"fault": "framing", "split_bytes": size}
    async with opened(sim, STREAM, step) as response:
        chunks, chunk = [], b""
        async for data, ended in response.content.iter_chunks():
            chunk += data
            if ended:
                chunks.append(chunk)
                chunk = b""
    assert max(map(len, chunks)) == size
    assert b"".join(chunks) == (await ask(sim, STREAM)).content
    assert any(chunk and chunk[0] & 0xC0 == 0x80 for chunk in chunks), "no character was cut"


async def test_a_unary_body_can_be_cut_up_too(sim: Simulator) -> None:
    """The same bytes in more pieces."""
    answered = await ask(sim, question(), {"fault": "framing", "split_bytes": 3})
    assert answered.content == (await ask(sim, question())).content


async def unary(sim: Simulator, *what: str) -> dict[str, Any]:
    """Return a unary answer with oddities."""
    return (await ask(sim, question(), {"fault": "odd", "what": what})).json()


async def stream(sim: Simulator, *what: str) -> list[Json]:
    """Return a stream's events with oddities."""
    return (await ask(sim, STREAM, {"fault": "odd", "what": what})).events()


async def test_missing_usage(sim: Simulator) -> None:
    """No usage anywhere."""
    assert "usage" not in await unary(sim, "missing_usage")
    assert not ["usage" for event in await stream(sim, "missing_usage") if "usage" in str(event)]


async def test_negative_tokens(sim: Simulator) -> None:
    """Counts below zero, at the start and at the end."""
    assert (await unary(sim, "negative_tokens"))["usage"]["output_tokens"] < 0
    events = await stream(sim, "negative_tokens")
    assert events[0]["message"]["usage"]["input_tokens"] < 0
    assert events[-2]["usage"]["output_tokens"] < 0


@pytest.mark.parametrize(
    ("what", "reason"), [("unknown_stop_reason", "enlightenment"), ("null_stop_reason", None)]
)
async def test_odd_stop_reasons(sim: Simulator, what: str, reason: str | None) -> None:
    """A reason that isn't listed, and none at all."""
    assert (await unary(sim, what))["stop_reason"] == reason
    assert (await stream(sim, what))[-2]["delta"]["stop_reason"] == reason


async def test_unknown_blocks_fields_and_deltas(sim: Simulator) -> None:
    """What a later API may add, in both modes where it can be."""
    whole = await unary(sim, "unknown_block", "unknown_field", "unknown_delta")
    events = await stream(sim, "unknown_block", "unknown_field", "unknown_delta")
    assert whole["content"][-1]["type"] == "hologram"
    assert whole["mood"] == events[0]["message"]["mood"] == {"calm": True}
    assert [e["index"] for e in events if "hologram_delta" in str(e)] == [0]
    assert [e["index"] for e in events if "'hologram'" in str(e)] == [1]
    assert events[-1]["type"] == "message_stop"


async def test_events_out_of_order(sim: Simulator) -> None:
    """A delta of a block that never started, and a stream without its first event."""
    assert (await stream(sim, "orphan_delta"))[3]["index"] == 99
    assert (await stream(sim, "no_message_start"))[0]["type"] == "content_block_start"
