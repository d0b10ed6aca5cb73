"""The faults that a client sees in the middle of an answer, and answers that are too much."""

import asyncio
import gzip
import json

import aiohttp
import pytest

from sidecard.simulator.server import Simulator
from tests.support.simulator import Json, ask, on_the_wire, opened, question, until, wire

STREAM = question(stream=True)


async def cut_off(sim: Simulator, body: Json, step: Json) -> bytes:
    """Return what came before the connection broke; fails when it didn't."""
    content = bytearray()

    async def read(response: aiohttp.ClientResponse) -> None:
        async for chunk in response.content.iter_any():
            content.extend(chunk)

    async with opened(sim, body, step) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await read(response)
    return bytes(content)


@pytest.mark.parametrize("rst", [True, False])
@pytest.mark.parametrize("events", [0, 3, 4, 6])
async def test_a_stream_breaks_after_some_events(sim: Simulator, events: int, *, rst: bool) -> None:
    """Exactly so many events come, and then the connection is gone."""
    step = {"fault": "reset", "after_events": events, "rst": rst}
    assert (await cut_off(sim, STREAM, step)).count(b"event: ") == events


async def test_a_reset_is_a_reset_on_the_wire(sim: Simulator) -> None:
    """Mid-stream, too, the socket reports a reset."""
    async with wire(sim, on_the_wire(STREAM, {"fault": "reset", "after_events": 4})) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_unary_answer_breaks_in_the_middle(sim: Simulator) -> None:
    """Half of the body comes, less than was announced."""
    content = await cut_off(sim, question(), {"fault": "reset", "after_events": 1})
    assert content
    assert content in (await ask(sim, question())).content


@pytest.mark.parametrize("body", [question(), STREAM])
async def test_a_truncated_answer_ends_cleanly(sim: Simulator, body: Json) -> None:
    """HTTP is satisfied, the answer isn't whole."""
    cut = await ask(sim, body, {"fault": "truncate", "after_events": 5})
    whole = await ask(sim, body)
    assert cut.status == 200
    assert whole.content.startswith(cut.content)
    assert 0 < len(cut.content) < len(whole.content)


@pytest.mark.parametrize("body", [question(), STREAM])
async def test_a_stalled_answer_keeps_its_connection(sim: Simulator, body: Json) -> None:
    """Some of it comes, then nothing, and the connection stays."""
    step = {"fault": "stall", "after_events": 4}
    async with opened(sim, body, step) as response:
        assert await response.content.readany()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readany(), 0.05)
        assert sim.books.requests_open == 1
    await until(lambda: sim.books.requests_open == 0)


async def test_malformed_json_in_a_stream(sim: Simulator) -> None:
    """One event's data is no JSON, the others are as they were."""
    answered = await ask(sim, STREAM, {"fault": "malformed", "after_events": 5})
    blocks = answered.content.decode().split("\n\n")[:-1]
    bad = [at for at, block in enumerate(blocks) if not parses(block.split("\ndata: ")[1])]
    assert bad == [5]


async def test_malformed_json_in_a_unary_answer(sim: Simulator) -> None:
    """The status is 200 and the body is no JSON."""
    answered = await ask(sim, question(), {"fault": "malformed", "data": "{'a': 1}"})
    assert answered.status == 200
    assert answered.content == b"{'a': 1}"


def parses(text: str) -> bool:
    """Tell whether text is JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("kind", ["overloaded_error", "api_error"])
@pytest.mark.parametrize(("events", "deltas"), [(0, 0), (3, 0), (4, 1), (6, 3)])
async def test_an_error_event_ends_the_stream(
    sim: Simulator, kind: str, events: int, deltas: int
) -> None:
    """HTTP 200, so many events, then the error in the API's form, and nothing after it."""
    step = {"fault": "error", "type": kind, "after_events": events}
    answered = await ask(sim, STREAM, step)
    *before, error = answered.events()
    assert answered.status == 200
    assert len(before) == events
    assert sum(event["type"] == "content_block_delta" for event in before) == deltas
    assert error["type"] == "error"
    assert error["error"]["type"] == kind


async def test_an_error_in_a_unary_answer_is_its_status(sim: Simulator) -> None:
    """Without a stream there is no event: an overloaded API says 529."""
    answered = await ask(sim, question(), {"fault": "error"})
    assert answered.status == 529
    assert answered.json()["error"]["type"] == "overloaded_error"


async def test_a_huge_unary_answer(sim: Simulator) -> None:
    """The body is a valid message with so many MiB of text."""
    answered = await ask(sim, question(), {"fault": "huge", "mb": 3})
    assert len(answered.json()["content"][0]["text"]) == 3 << 20


@pytest.mark.parametrize(("one_event", "deltas"), [(False, 24), (True, 1)])
async def test_a_huge_stream(sim: Simulator, *, one_event: bool, deltas: int) -> None:
    """The stream is whole, with so many MiB in many deltas or in one."""
    step = {"fault": "huge", "mb": 3, "delta_bytes": 1 << 17, "one_event": one_event}
    answered = await ask(sim, STREAM, step)
    events = answered.events()
    assert len(answered.text()) == 3 << 20
    assert sum(event["type"] == "content_block_delta" for event in events) == deltas
    assert events[-2]["usage"]["output_tokens"] == (3 << 20) // 4


@pytest.mark.parametrize("of", ["deltas", "pings", "line"])
async def test_an_endless_stream(sim: Simulator, of: str) -> None:
    """It goes on as long as the client reads, and ends when it leaves."""
    step = {"fault": "endless", "of": of, "delta_s": 0, "delta_bytes": 1000}
    async with opened(sim, STREAM, step) as response:
        content = await response.content.readexactly(300_000)
    assert b"message_stop" not in content
    assert (content.count(b"\n") < 20) == (of == "line")
    assert (b"content_block_delta" in content) == (of != "pings")
    await until(lambda: sim.books.streams_open == 0)
    assert sim.books.abandoned[0].sent_bytes >= 300_000


async def test_an_endless_unary_answer(sim: Simulator) -> None:
    """A body can go on for ever, too."""
    async with opened(sim, question(), {"fault": "endless", "delta_s": 0}) as response:
        assert len(await response.content.readexactly(300_000)) == 300_000
    await until(lambda: sim.books.requests_open == 0)


@pytest.mark.parametrize("body", [question(), STREAM])
async def test_gzip_comes_unasked(sim: Simulator, body: Json) -> None:
    """The body is the good answer, in gzip."""
    async with wire(sim, on_the_wire(body, {"fault": "gzip"})) as (reader, _):
        head = await reader.readuntil(b"\r\n\r\n")
        packed = b""
        while (size := int(await reader.readline(), 16)) > 0:
            packed += (await reader.readexactly(size + 2))[:-2]
    assert b"content-encoding: gzip" in head.lower()
    assert gzip.decompress(packed) == (await ask(sim, body)).content


@pytest.mark.parametrize("body", [question(), STREAM])
async def test_a_gzip_bomb(sim: Simulator, body: Json) -> None:
    """A few bytes on the wire unpack to many MiB."""
    answered = await ask(sim, body, {"fault": "gzip", "expand_mb": 8})
    assert len(answered.content) > 8 << 20
    assert sim.books.ended[0].sent_bytes < 1 << 17
