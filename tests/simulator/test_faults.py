"""The faults that a client sees before, or in place of, an answer."""

import asyncio
import email.utils
import time
from typing import Any

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.support.simulator import Json, ask, on_the_wire, opened, question, until, wire

BOTH = pytest.mark.parametrize("stream", [False, True])


@BOTH
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (529, "overloaded_error"),
    ],
)
async def test_a_status_has_the_apis_body(
    sim: Simulator, *, stream: bool, status: int, kind: str
) -> None:
    """Each status comes with the error type that the API gives it, streaming or not."""
    answered = await ask(sim, question(stream=stream), {"fault": "status", "status": status})
    assert answered.status == status
    assert answered.json()["error"]["type"] == kind
    assert answered.json()["request_id"] == answered.headers["request-id"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("retry-after", "2"), ("retry-after-ms", "1500"), ("retry-after", "soon, perhaps")],
)
async def test_a_status_has_the_headers_asked_for(sim: Simulator, name: str, value: str) -> None:
    """Any header can be set, garbage included."""
    step = {"fault": "status", "status": 429, "headers": {name: value}}
    assert (await ask(sim, question(), step)).headers[name] == value


async def test_retry_after_can_be_a_date(sim: Simulator) -> None:
    """The date is so many seconds ahead of the answer."""
    step = {"fault": "status", "status": 429, "retry_after_date_s": 30}
    answered = await ask(sim, question(), step)
    at = email.utils.parsedate_to_datetime(answered.headers["retry-after"]).timestamp()
    assert 27 < at - time.time() < 32


@pytest.mark.parametrize("body", ["", "nope", "null", '{"detail": []}'])
async def test_a_status_can_have_an_unusual_body(sim: Simulator, body: str) -> None:
    """The body is sent as it stands."""
    step = {"fault": "status", "status": 400, "body": body, "content_type": "text/plain"}
    answered = await ask(sim, question(), step)
    assert (answered.status, answered.content.decode()) == (400, body)
    assert answered.headers["content-type"] == "text/plain"


async def test_a_body_can_be_json(sim: Simulator) -> None:
    """An object is sent as JSON."""
    step = {"fault": "status", "status": 400, "body": {"detail": [1]}}
    assert (await ask(sim, question(), step)).json() == {"detail": [1]}


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "text/event-stream"])
async def test_a_proxys_page_has_any_content_type(sim: Simulator, content_type: str) -> None:
    """The page is HTML whatever its header says."""
    step = {"fault": "html", "status": 503, "content_type": content_type}
    answered = await ask(sim, question(), step)
    assert answered.status == 503
    assert answered.headers["content-type"] == content_type
    assert answered.content.startswith(b"<!DOCTYPE html>")


@BOTH
async def test_a_reset_before_the_answer(sim: Simulator, *, stream: bool) -> None:
    """The client's socket reports a reset, and not one byte came."""
    request = on_the_wire(question(stream=stream), {"fault": "reset"})
    async with wire(sim, request) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert sim.books.results == {"broken": 1}


async def test_a_close_before_the_answer(sim: Simulator) -> None:
    """The client's socket reports the end, and not one byte came."""
    request = on_the_wire(question(), {"fault": "reset", "rst": False})
    async with wire(sim, request) as (reader, _):
        assert await reader.read() == b""


async def test_a_blackhole_accepts_and_says_nothing(sim: Simulator) -> None:
    """No byte comes, and the connection stays; it ends when the client leaves."""
    async with wire(sim, on_the_wire(question(), {"fault": "blackhole"})) as (reader, _):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert sim.books.requests_open == 1
    await until(lambda: sim.books.requests_open == 0)
    assert sim.books.results == {"abandoned": 1}


@BOTH
async def test_slow_headers(sim: Simulator, *, stream: bool) -> None:
    """The status line waits, then all is well."""
    began = time.monotonic()
    step = {"fault": "slow_headers", "delay_s": 0.1}
    async with opened(sim, question(stream=stream), step) as response:
        assert time.monotonic() - began >= 0.1
        assert response.status == 200
        assert await response.read()


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ({}, b""),
        ({"preamble": True}, b"event: ping"),
        ({"ping_s": 0.04}, b"event: ping"),
    ],
)
async def test_a_slow_first_event(sim: Simulator, more: Json, first: bytes) -> None:
    """The headers come at once and the content late, with pings in between if asked for."""
    step = {"fault": "slow_first_event", "delay_s": 0.15, **more}
    early = b""
    async with opened(sim, question(stream=True), step) as response:
        began = time.monotonic()
        while b"content_block_delta" not in early:
            seen = early
            early += await response.content.readany()
        assert time.monotonic() - began >= 0.14
        assert first in seen
        assert b"content_block_delta" not in seen
        assert (early + await response.read()).count(b"message_stop") == 2


async def test_a_slow_drip(sim: Simulator) -> None:
    """The body comes byte by byte, at the rate asked for."""
    step = {"fault": "drip", "bytes_per_s": 200, "piece_bytes": 2}
    async with opened(sim, question(stream=True), step) as response:
        began = time.monotonic()
        assert await response.content.readexactly(20) == b"event: message_start"
        assert 0.09 <= time.monotonic() - began < 1.0


@BOTH
async def test_a_drip_ends_with_a_whole_answer(sim: Simulator, *, stream: bool) -> None:
    """Nothing is lost on the way."""
    body = question(stream=stream)
    step = {"fault": "drip", "bytes_per_s": 1_000_000, "piece_bytes": 1000}
    assert (await ask(sim, body, step)).content == (await ask(sim, body)).content


async def test_a_script_serves_its_faults_to_the_next_requests(sim: Simulator) -> None:
    """Steps are played in order, on every connection, and are booked."""
    steps: list[dict[str, Any]] = [
        {"fault": "status", "status": 529, "times": 2},
        {"fault": "truncate", "match": {"stream": True}},
    ]
    sim.play(Script.of(*steps))
    answers = [await ask(sim, question()) for _ in range(3)]
    assert [answered.status for answered in answers] == [529, 529, 200]
    cut = await ask(sim, question(stream=True))
    assert "message_stop" not in cut.content.decode()
    assert sim.books.faults == {"status": 2, "truncate": 1, "none": 1}


async def test_a_bad_header_is_a_400_that_says_what_is_wrong(sim: Simulator) -> None:
    """A mistake in a test's own header isn't silent."""
    answered = await ask(sim, question(), {"fault": "explode"})
    assert answered.status == 400
    assert "explode" in answered.json()["error"]["message"]
