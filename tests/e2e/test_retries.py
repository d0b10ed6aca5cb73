"""Every fault that may be gone at the next attempt is retried, unseen; the others never are."""

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.e2e.test_faults import BEFORE_COMMIT, LONG, MISCONFIGURED, QUESTION, REFUSED, Row
from tests.support.daemon import Daemon, running, settings
from tests.support.rpc import Caller, connected, fails, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODULE: Final = "module"
FAILED, ANSWERED = pb.Attempt.OUTCOME_FAILED, pb.Attempt.OUTCOME_ANSWERED
FINAL: Final = {REFUSED, MISCONFIGURED}
WAITS: Final = ({"retry-after": "2"}, {"retry-after-ms": "1500"})
"""What another test asks for: how long a retry waits for the upstream."""
RETRIED: Final = [
    row for row in BEFORE_COMMIT if row.unary not in FINAL and row.step.get("headers") not in WAITS
]
NEVER: Final = [row for row in BEFORE_COMMIT if row.unary in FINAL]


@pytest_asyncio.fixture(scope=MODULE, loop_scope=MODULE)
async def daemon(sim: Simulator) -> AsyncIterator[Daemon]:
    """Return a daemon that retries quickly, at one target, and never stops trying for long."""
    env = settings(sim.base_url) | {
        "SIDECARD_TIMEOUTS__FIRST_EVENT_S": "0.3",
        "SIDECARD_TIMEOUTS__IDLE_S": "0.3",
        "SIDECARD_RETRY__BASE_S": "0.01",
        "SIDECARD_RETRY__BUDGET_FLOOR_PER_S": "100",
        "SIDECARD_BREAKER__MODE": "disabled",
        "SIDECARD_ROUTES__DEFAULT__TARGETS": '[{"model": "claude-sonnet-5-5"}]',
    }
    async with running(env) as process:
        yield process


@pytest_asyncio.fixture(scope=MODULE, loop_scope=MODULE)
async def caller(daemon: Daemon) -> AsyncIterator[Caller]:
    """Return the daemon's service as a caller sees it."""
    async with connected(daemon.address) as stub:
        yield stub


def outcomes(answer: pb.GenerateResponse) -> list["pb.Attempt.Outcome"]:
    return [attempt.outcome for attempt in answer.attempts]


@pytest.mark.parametrize("row", RETRIED, ids=str)
async def test_a_stream_is_retried_before_its_first_content(
    row: Row, sim: Simulator, caller: Caller
) -> None:
    """The caller sees one whole answer, and on it both attempts and what was wrong."""
    sim.play(Script.of(row.step))
    streamed = await read(caller.StreamGenerate(QUESTION, timeout=20))
    assert streamed.failure is None
    answer = streamed.messages[-1].response
    assert outcomes(answer) == [FAILED, ANSWERED]
    assert answer.attempts[0].error == (row.stream or row.unary).partition("/")[2]
    assert not answer.degraded


@pytest.mark.parametrize("question", [QUESTION, LONG], ids=["in one piece", "streamed"])
@pytest.mark.parametrize(
    "step",
    [
        {"fault": "status", "status": 529},
        {"fault": "reset"},
        {"fault": "reset", "after_events": 6},
        {"fault": "truncate", "after_events": 6},
        {"fault": "malformed", "after_events": 5},
        {"fault": "stall", "after_events": 6},
        {"fault": "error", "after_events": 6},
    ],
    ids=lambda step: "-".join([str(value) for value in step.values()]),
)
async def test_a_unary_call_is_retried_up_to_its_last_byte(
    step: dict[str, Any], question: pb.GenerateRequest, sim: Simulator, caller: Caller
) -> None:
    """A unary caller has seen nothing before it has everything, so all of it can be retried."""
    sim.play(Script.of(step))
    answer = await caller.Generate(question, timeout=20)
    assert outcomes(answer) == [FAILED, ANSWERED]
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize("row", NEVER, ids=str)
async def test_other_4xx_are_never_retried(row: Row, sim: Simulator, caller: Caller) -> None:
    """They are asked once."""
    asked = sim.books.requests
    sim.play(Script.of(row.step))
    failed = await fails(caller.Generate(QUESTION, timeout=20))
    assert f"{failed.code}/{failed.reason}" == row.unary
    assert sim.books.requests == asked + 1
    assert failed.metadata["attempts"] == "1"
    sim.play(Script.of())


async def test_the_upstreams_own_word_goes_first(sim: Simulator, caller: Caller) -> None:
    """`x-should-retry: false` ends a retryable failure, `true` retries one that isn't."""
    no, yes = {"x-should-retry": "false"}, {"x-should-retry": "true"}
    sim.play(Script.of({"fault": "status", "status": 529, "headers": no}))
    failed = await fails(caller.Generate(QUESTION, timeout=20))
    assert (failed.reason, failed.metadata["attempts"]) == ("UPSTREAM_UNAVAILABLE", "1")
    sim.play(Script.of({"fault": "status", "status": 400, "headers": yes}))
    assert outcomes(await caller.Generate(QUESTION, timeout=20)) == [FAILED, ANSWERED]


@pytest.mark.parametrize(
    ("headers", "least_s"),
    [
        ({"retry-after": "1"}, 1.0),
        ({"retry-after-ms": "400"}, 0.4),
        ({"retry-after-ms": "300", "retry-after": "30"}, 0.3),
        ({"retry-after": "soon"}, 0.0),
    ],
    ids=str,
)
async def test_retry_after_is_a_floor(
    headers: dict[str, str], least_s: float, sim: Simulator, caller: Caller
) -> None:
    """A 429 is tried again when it says, not before; nonsense counts as nothing said."""
    sim.play(Script.of({"fault": "status", "status": 429, "headers": headers}))
    began = time.monotonic()
    answer = await caller.Generate(QUESTION, timeout=20)
    assert time.monotonic() - began >= least_s
    assert outcomes(answer) == [FAILED, ANSWERED]


async def test_a_date_is_a_floor_too(sim: Simulator, caller: Caller) -> None:
    """`retry-after` may be a moment; it has whole seconds."""
    sim.play(Script.of({"fault": "status", "status": 429, "retry_after_date_s": 2}))
    began = time.monotonic()
    assert outcomes(await caller.Generate(QUESTION, timeout=20)) == [FAILED, ANSWERED]
    assert time.monotonic() - began >= 0.9


@pytest.mark.parametrize("delay", ["86400", "30"])
async def test_a_wait_that_the_deadline_cannot_afford_is_refused_at_once(
    delay: str, sim: Simulator
) -> None:
    """The caller hears at once, with the time after which it makes sense to try again.

    So does the next one, while the gate is closed, without anything being sent.
    """
    env = settings(sim.base_url) | {
        "SIDECARD_ROUTES__DEFAULT__TARGETS": '[{"model": "claude-sonnet-5-5"}]'
    }
    async with running(env) as daemon, connected(daemon.address) as caller:
        sim.play(Script.of({"fault": "status", "status": 429, "headers": {"retry-after": delay}}))
        first = await fails(caller.Generate(QUESTION, timeout=5))
        assert (first.code, first.reason) == ("RESOURCE_EXHAUSTED", "UPSTREAM_THROTTLED")
        assert first.retry_after_s == float(delay)
        asked = sim.books.requests
        second = await fails(caller.Generate(QUESTION, timeout=5))
        assert (second.code, second.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert second.retry_after_s is not None
        assert 25 < second.retry_after_s <= 60
        assert sim.books.requests == asked


async def test_the_attempts_are_capped(sim: Simulator, caller: Caller) -> None:
    """After the last attempt the call fails with the last error, and says how many it made."""
    sim.play(Script.of({"fault": "status", "status": 529, "times": 10}))
    asked = sim.books.requests
    failed = await fails(caller.Generate(QUESTION, timeout=20))
    assert (failed.code, failed.reason) == ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
    assert failed.metadata["attempts"] == "3"
    assert sim.books.requests == asked + 3
    sim.play(Script.of())


async def test_a_call_given_up_in_between_tells_its_attempts(
    sim: Simulator, daemon: Daemon, caller: Caller
) -> None:
    """The line of a call whose deadline passed has what was tried until then."""
    hung = {"fault": "blackhole", "times": 5}
    sim.play(Script.of({"fault": "status", "status": 529}, hung))
    failed = await fails(caller.Generate(QUESTION, timeout=0.2, metadata=(("x-request-id", "r9"),)))
    assert failed.code == "DEADLINE_EXCEEDED"
    line = await daemon.logged("call", request_id="r9")
    assert [tried.rsplit(maxsplit=2)[0] for tried in line["tried"]] == [
        "claude-sonnet-5-5 UPSTREAM_UNAVAILABLE",
        "claude-sonnet-5-5 ABANDONED",
    ]
    sim.play(Script.of())
