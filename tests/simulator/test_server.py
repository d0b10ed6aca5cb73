"""Starting, stopping, refusing, and the books."""

import asyncio
import contextlib
import json
import socket
import time
from pathlib import Path

import aiohttp
import pytest

from sidecard.simulator.pace import Pace
from sidecard.simulator.script import Script, ScriptError
from sidecard.simulator.serve import serve
from sidecard.simulator.server import Simulator
from tests.support.simulator import (
    HEADERS,
    PATH,
    ask,
    on_the_wire,
    opened,
    question,
    until,
    wire,
)

STREAM = question(stream=True)


async def test_an_abandoned_stream_ends_within_100_ms(sim: Simulator) -> None:
    """When the client leaves, the books say so, when, and that nothing is open."""
    async with opened(sim, STREAM, {"fault": "stall"}) as response:
        await response.content.readany()
        assert (sim.books.streams_open, sim.books.connections_open) == (1, 1)
    left = time.monotonic()
    await until(lambda: sim.books.connections_open == 0)
    [entry] = sim.books.abandoned
    assert entry.ended_at is not None
    assert entry.ended_at - left < 0.1
    assert (sim.books.streams_open, sim.books.requests_open) == (0, 0)


async def test_a_slow_reader_holds_nothing_when_it_leaves(sim: Simulator) -> None:
    """A client that reads nothing of a huge answer stops it, and ends it by leaving."""
    async with wire(sim, on_the_wire(STREAM, {"fault": "huge", "mb": 64})):
        await until(lambda: any(e.sent_bytes for e in sim.books.open.values()))
        await asyncio.sleep(0.05)
        [entry] = sim.books.open.values()
        assert entry.sent_bytes < 32 << 20
    await until(lambda: sim.books.requests_open == 0)


async def test_the_books_bill_what_was_sent(sim: Simulator) -> None:
    """Whole answers bill their usage, cut ones what was sent, refused ones nothing."""
    usage = (await ask(sim, question())).json()["usage"]
    await ask(sim, STREAM)
    await ask(sim, STREAM, {"fault": "truncate", "after_events": 6})
    await ask(sim, question(), {"fault": "status", "status": 529})
    unary, stream, cut, refused = sim.books.ended
    assert unary.input_tokens == stream.input_tokens == usage["input_tokens"]
    assert unary.output_tokens == stream.output_tokens == usage["output_tokens"]
    assert 0 < cut.output_tokens < stream.output_tokens
    assert (refused.input_tokens, refused.output_tokens) == (0, 0)
    assert sim.books.tokens["output_tokens"] == 2 * stream.output_tokens + cut.output_tokens


async def test_the_books_keep_what_was_received(sim: Simulator) -> None:
    """A test in the same process sees headers and body; their text shows no key."""
    await ask(sim, question("look"))
    received = sim.books.received[-1]
    assert received.body["messages"][0]["content"] == "look"
    assert received.headers["x-api-key"] == "test"
    assert "test" not in repr(received)


async def test_books_and_script_are_served(sim: Simulator) -> None:
    """Another process can set a script and read the books, and no fault touches that."""
    async with aiohttp.ClientSession(sim.base_url) as session:
        script = "[{fault: status, status: 500, times: always, match: {path: '*'}}]"
        async with session.post("/sim/script", data=script) as answer:
            assert answer.status == 200
        assert (await ask(sim, question())).status == 500
        async with session.post("/sim/script", data="{fault: explode}") as answer:
            assert answer.status == 400
            assert "explode" in (await answer.json())["error"]
        async with session.post("/sim/script", data="") as answer:
            assert answer.status == 200
        assert (await ask(sim, question())).status == 200
        async with session.get("/sim/books") as answer:
            books = await answer.json()
    assert books["requests"] == 2
    assert books["statuses"] == {"500": 1, "200": 1}
    assert books["ended"][0]["fault"] == "status"


async def test_many_requests_share_a_connection(sim: Simulator) -> None:
    """Connections are kept alive, streams and errors included."""
    async with aiohttp.ClientSession(sim.base_url, headers=HEADERS) as session:
        for body in (question(), STREAM, {"model": "x"}, question()):
            async with session.post(PATH, json=body) as answer:
                await answer.read()
        assert sim.books.connections_open == 1


async def test_stopping_ends_everything_at_once() -> None:
    """Requests in hand are cut off, and stopping twice is stopping once."""
    async with Simulator() as sim:
        async with wire(sim, on_the_wire(STREAM, {"fault": "blackhole"})) as (reader, _):
            await until(lambda: sim.books.requests_open == 1)
            began = time.monotonic()
            await sim.stop()
            assert time.monotonic() - began < 0.3
            with pytest.raises(ConnectionResetError):
                await reader.read()
        assert sim.books.results == {"stopped": 1}
        assert (sim.books.requests_open, sim.books.connections_open) == (0, 0)


async def test_it_can_be_started_again_on_the_same_port() -> None:
    """An upstream that restarts is the same upstream."""
    sim = Simulator()
    await sim.start()
    port = sim.port
    await sim.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(sim, question())
    async with sim:
        assert sim.port == port
        assert (await ask(sim, question())).status == 200


async def test_refusing_for_a_while(sim: Simulator) -> None:
    """Inside the block connections are refused, after it they are accepted on the same port."""
    async with sim.refusing():
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(sim, question())
    assert (await ask(sim, question())).status == 200


async def test_a_script_that_begins_with_a_refusal() -> None:
    """The first connection is refused already, and later ones are accepted."""
    async with Simulator(Script.of({"fault": "refuse", "down_s": 0.1})) as sim:
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(sim, question())
        await asyncio.sleep(0.15)
        assert (await ask(sim, question())).status == 200


async def test_a_refusal_between_steps_closes_idle_connections(sim: Simulator) -> None:
    """A pooled connection is dead after it, the request in hand is still answered."""
    sim.play(Script.of({"fault": "none"}, {"fault": "refuse", "down_s": 0.05}))
    async with wire(sim, b"") as (idle, _), wire(sim, on_the_wire(question())) as (reader, _):
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert await idle.read() == b""
    await asyncio.sleep(0.1)
    assert (await ask(sim, question())).status == 200


@pytest.mark.parametrize("drop", ["none", "all"])
async def test_a_refusal_drops_what_it_is_told_to(sim: Simulator, drop: str) -> None:
    """Connections that are open stay, or are reset, running streams too."""
    async with wire(sim, on_the_wire(STREAM, {"fault": "stall"})) as (reader, _):
        await reader.readline()
        sim.play(Script.of({"fault": "refuse", "down_s": 0.05, "drop": drop}))
        await asyncio.sleep(0.02)
        assert sim.books.streams_open == (1 if drop == "none" else 0)


async def test_a_pace_for_all(sim: Simulator) -> None:
    """The pace holds for each answer, unary ones wait as long as their stream, steps override."""
    async with Simulator(pace=Pace(first_event_s=0.05, delta_s=0.01, words=4)) as slow:
        for body in (question(), STREAM):
            began = time.monotonic()
            assert (await ask(slow, body)).status == 200
            assert time.monotonic() - began >= 0.07
        began = time.monotonic()
        fast = {"pace": {"first_event_s": 0, "delta_s": 0}}
        assert (await ask(slow, STREAM, fast)).text() == (await ask(sim, STREAM)).text()
        assert time.monotonic() - began < 0.07


async def test_no_delay_on_the_socket(sim: Simulator) -> None:
    """Small writes aren't held back."""
    async with wire(sim, on_the_wire(STREAM, {"fault": "stall"})) as (reader, _):
        await reader.readline()
        [connection] = sim.connections
        sock = connection.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_serve_runs_until_it_is_cancelled(tmp_path: Path) -> None:
    """What the command line runs: a script from a file, and its address once it is up."""
    path = tmp_path / "script.yaml"
    path.write_text("{fault: status, status: 503}")
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(script_path=path, on_ready=ready.set_result))
    url = await ready
    async with (
        aiohttp.ClientSession(url, headers=HEADERS) as session,
        session.post(PATH, data=json.dumps(question())) as answer,
    ):
        assert answer.status == 503
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_serve_refuses_a_bad_script(tmp_path: Path) -> None:
    """It doesn't start with faults other than those asked for."""
    with pytest.raises(ScriptError, match=r"gone\.yaml"):
        await serve(script_path=tmp_path / "gone.yaml")


async def test_a_refusal_leaves_nobody_between_two_states(sim: Simulator) -> None:
    """A client that connects while the listener closes is refused or reset, and never left."""

    async def connect() -> bytes:
        async with wire(sim, b"") as (reader, _):
            return await reader.read()

    async with asyncio.timeout(5):
        for ticks in range(12):
            connecting = asyncio.create_task(connect())
            for _ in range(ticks):
                await asyncio.sleep(0)
            async with sim.refusing():
                with contextlib.suppress(ConnectionError):
                    assert await connecting == b""
