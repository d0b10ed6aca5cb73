"""Every fault of the upstream, through the real daemon: the outcome that the error tree says.

Each call is tried once here; `test_retries.py` has the same faults with a second attempt.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import Daemon
from tests.support.rpc import Caller, fails, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

THROTTLED = "RESOURCE_EXHAUSTED/UPSTREAM_THROTTLED"
UNAVAILABLE = "UNAVAILABLE/UPSTREAM_UNAVAILABLE"
REFUSED = "INVALID_ARGUMENT/UPSTREAM_REFUSED"
MISCONFIGURED = "FAILED_PRECONDITION/UPSTREAM_MISCONFIGURED"
INTERRUPTED = "ABORTED/UPSTREAM_INTERRUPTED"
DEADLINE = "DEADLINE_EXCEEDED/DEADLINE_EXCEEDED"

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")
LONG = pb.GenerateRequest(prompt=QUESTION.prompt, max_tokens=100_000)


@dataclass(frozen=True)
class Row:
    """A fault, and what the caller sees of it: unary, and in a stream where that differs."""

    step: dict[str, Any]
    unary: str
    stream: str = ""

    def __str__(self) -> str:
        return " ".join([str(v) for v in self.step.values() if isinstance(v, str | int | float)])


def status(code: int, **more: Any) -> dict[str, Any]:
    return {"fault": "status", "status": code, **more}


BEFORE_COMMIT = [
    Row(status(429, headers={"retry-after": "2"}), THROTTLED),
    Row(status(429, headers={"retry-after-ms": "1500"}), THROTTLED),
    Row(status(429, headers={"retry-after": "garbage"}), THROTTLED),
    Row(status(529), UNAVAILABLE),
    Row(status(500), UNAVAILABLE),
    Row(status(503), UNAVAILABLE),
    Row(status(408), UNAVAILABLE),
    Row(status(401), MISCONFIGURED),
    Row(status(403), MISCONFIGURED),
    Row(status(404), MISCONFIGURED),
    Row(status(413), REFUSED),
    Row(status(400, body="what?"), REFUSED),
    Row(status(400, body={"unusual": [1]}), REFUSED),
    Row({"fault": "html", "status": 502}, UNAVAILABLE),
    Row({"fault": "reset"}, UNAVAILABLE),
    Row({"fault": "reset", "rst": False}, UNAVAILABLE),
    Row({"fault": "blackhole"}, UNAVAILABLE),
    Row({"fault": "slow_headers", "delay_s": 5}, UNAVAILABLE),
    Row({"fault": "slow_first_event", "delay_s": 5}, UNAVAILABLE),
    Row({"fault": "slow_first_event", "delay_s": 5, "ping_s": 0.1}, UNAVAILABLE),
    Row({"fault": "slow_first_event", "delay_s": 5, "preamble": True}, UNAVAILABLE),
    Row({"fault": "truncate", "after_events": 0}, UNAVAILABLE),
    Row({"fault": "truncate", "after_events": 3}, UNAVAILABLE),
    Row({"fault": "error", "after_events": 0}, UNAVAILABLE),
    Row({"fault": "error", "after_events": 3}, UNAVAILABLE),
    Row({"fault": "error", "type": "rate_limit_error"}, THROTTLED),
    Row({"fault": "error", "type": "invalid_request_error"}, REFUSED),
    Row({"fault": "malformed", "after_events": 0}, UNAVAILABLE),
    Row({"fault": "malformed", "after_events": 3}, UNAVAILABLE),
    Row({"fault": "gzip"}, UNAVAILABLE),
    Row({"fault": "gzip", "expand_mb": 50}, UNAVAILABLE),
    Row({"fault": "odd", "what": ["no_message_start"]}, UNAVAILABLE),
]
AFTER_COMMIT = [
    Row({"fault": "reset", "after_events": 6}, UNAVAILABLE, INTERRUPTED),
    Row({"fault": "reset", "after_events": 6, "rst": False}, UNAVAILABLE, INTERRUPTED),
    Row({"fault": "stall", "after_events": 6}, UNAVAILABLE, INTERRUPTED),
    Row({"fault": "truncate", "after_events": 6}, UNAVAILABLE, INTERRUPTED),
    Row({"fault": "malformed", "after_events": 6}, UNAVAILABLE, INTERRUPTED),
    Row({"fault": "error", "after_events": 6}, UNAVAILABLE, INTERRUPTED),
    Row({"fault": "error", "after_events": 6, "type": "api_error"}, UNAVAILABLE, INTERRUPTED),
    Row({"fault": "huge", "mb": 8}, INTERRUPTED, INTERRUPTED),
    Row({"fault": "huge", "mb": 8, "one_event": True}, INTERRUPTED, INTERRUPTED),
    Row({"fault": "endless", "delta_bytes": 65536, "delta_s": 0}, INTERRUPTED, INTERRUPTED),
    Row({"fault": "endless", "delta_s": 0.02}, DEADLINE, DEADLINE),
    Row({"fault": "endless", "of": "line", "delta_s": 0.05}, UNAVAILABLE, UNAVAILABLE),
    Row({"fault": "drip", "bytes_per_s": 200, "piece_bytes": 10}, UNAVAILABLE, UNAVAILABLE),
]
IN_ONE_PIECE = [
    row
    for row in BEFORE_COMMIT
    if row.step["fault"] in {"status", "html", "reset", "blackhole", "slow_headers", "gzip"}
] + [
    Row({"fault": "error"}, UNAVAILABLE),
    Row({"fault": "error", "type": "rate_limit_error"}, THROTTLED),
    Row({"fault": "malformed"}, UNAVAILABLE),
    Row({"fault": "truncate"}, UNAVAILABLE),
    Row({"fault": "stall"}, UNAVAILABLE),
    Row({"fault": "reset", "after_events": 4}, UNAVAILABLE),
    Row({"fault": "huge", "mb": 8}, INTERRUPTED),
    Row({"fault": "drip", "bytes_per_s": 200, "piece_bytes": 10}, UNAVAILABLE),
]
GOOD = [
    {"fault": "framing", "split_bytes": 1},
    {"fault": "framing", "split_bytes": 7, "newline": "crlf", "comments": True},
    {"fault": "framing", "newline": "cr", "space": False, "unknown_events": True},
    {"fault": "framing", "split_data": True},
    {"fault": "odd", "what": ["missing_usage"]},
    {"fault": "odd", "what": ["negative_tokens"]},
    {"fault": "odd", "what": ["unknown_stop_reason"]},
    {"fault": "odd", "what": ["unknown_block", "unknown_delta", "unknown_field"]},
]


@pytest.mark.parametrize("row", BEFORE_COMMIT + AFTER_COMMIT, ids=str)
async def test_unary(row: Row, sim: Simulator, caller: Caller) -> None:
    """A unary call fails with the status that the table says, and the daemon serves on."""
    sim.play(Script.of(row.step))
    failed = await fails(caller.Generate(LONG))
    assert sim.books.received[-1].body["stream"] is True
    assert f"{failed.code}/{failed.reason}" == row.unary
    assert failed.metadata["request_id"]
    assert (await caller.Generate(QUESTION)).text


@pytest.mark.parametrize("row", IN_ONE_PIECE, ids=str)
async def test_unary_in_one_piece(row: Row, sim: Simulator, caller: Caller) -> None:
    """A short unary answer comes unstreamed, and its faults are told the same way."""
    sim.play(Script.of(row.step))
    failed = await fails(caller.Generate(QUESTION))
    assert f"{failed.code}/{failed.reason}" == row.unary
    assert "stream" not in sim.books.received[-1].body


@pytest.mark.parametrize("row", BEFORE_COMMIT, ids=str)
async def test_stream_before_commit(row: Row, sim: Simulator, caller: Caller) -> None:
    """What fails before the first content reaches a stream's reader with nothing shown."""
    sim.play(Script.of(row.step))
    streamed = await read(caller.StreamGenerate(QUESTION))
    assert streamed.failure is not None
    assert f"{streamed.failure.code}/{streamed.failure.reason}" == row.unary
    assert streamed.messages == []


@pytest.mark.parametrize("row", AFTER_COMMIT, ids=str)
async def test_stream_after_commit(row: Row, sim: Simulator, caller: Caller) -> None:
    """What fails after it is never a clean end: no truncated stream is OK, or says it is whole."""
    sim.play(Script.of(row.step))
    streamed = await read(caller.StreamGenerate(QUESTION))
    assert streamed.failure is not None
    assert f"{streamed.failure.code}/{streamed.failure.reason}" == row.stream
    assert not streamed.whole


@pytest.mark.parametrize("step", GOOD, ids=str)
async def test_odd_but_whole(step: dict[str, Any], sim: Simulator, caller: Caller) -> None:
    """A whole answer in unusual bytes, or a little out of contract, is served: in both modes."""
    plain = (await caller.Generate(QUESTION)).text
    sim.play(Script.of(step, step))
    answer = await caller.Generate(LONG)
    assert plain in answer.text
    assert answer.usage.input_tokens >= 0
    assert answer.usage.output_tokens >= 0
    streamed = await read(caller.StreamGenerate(QUESTION))
    assert streamed.failure is None
    assert streamed.whole
    assert streamed.text == answer.text


async def test_retry_after_is_passed_on(sim: Simulator, caller: Caller) -> None:
    """A throttled caller is told how long to wait, as the upstream said it."""
    for headers, expected in [({"retry-after": "2"}, 2.0), ({"retry-after-ms": "1500"}, 1.5)]:
        sim.play(Script.of(status(429, headers=headers)))
        assert (await fails(caller.Generate(QUESTION))).retry_after_s == expected


async def test_a_closed_listener_is_unavailable(sim: Simulator, caller: Caller) -> None:
    """A refused connection is told as such, and the next call after it is served."""
    sim.play(Script.of({"fault": "refuse", "down_s": 0.3, "drop": "all"}))
    failed = await fails(caller.Generate(QUESTION))
    assert (failed.code, failed.reason) == ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
    assert "refused" in failed.message.lower() or "closed" in failed.message.lower()


async def test_nothing_is_left_behind(sim: Simulator, daemon: Daemon) -> None:
    """After all of that the upstream has no stream of the daemon's open."""
    assert daemon.process.returncode is None
    assert sim.books.streams_open == 0
    assert not [line for line in daemon.lines if line.get("event") == "a bug"]
