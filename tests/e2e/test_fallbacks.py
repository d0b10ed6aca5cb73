"""Where a call goes when its target fails: other targets, last resorts, and a word to each."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import Daemon, running, settings
from tests.support.rawserver import unused_port
from tests.support.rpc import Caller, connected, fails, read
from tests.support.simulator import until

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")
FAILED, ANSWERED = pb.Attempt.OUTCOME_FAILED, pb.Attempt.OUTCOME_ANSWERED
SKIPPED = pb.Attempt.OUTCOME_SKIPPED
SONNET, HAIKU = "claude-sonnet-5-5", "claude-haiku-5-5"


@asynccontextmanager
async def served(sim: Simulator | str, **more: str) -> AsyncIterator[tuple[Daemon, Caller]]:
    """Run a daemon that tries each target once, unless told otherwise."""
    url = sim if isinstance(sim, str) else sim.base_url
    env = settings(url) | {"SIDECARD_RETRY__MAX_ATTEMPTS": "1"}
    env |= {f"SIDECARD_{name.upper()}": value for name, value in more.items()}
    async with running(env) as daemon, connected(daemon.address) as caller:
        yield daemon, caller


def tried(answer: pb.GenerateResponse) -> list[tuple[str, int, str]]:
    return [(attempt.target, attempt.outcome, attempt.error) for attempt in answer.attempts]


def only(model: str, **step: Any) -> dict[str, Any]:
    return {**step, "times": "always", "match": {"model": model}}


async def test_the_cheaper_model_answers_and_says_so() -> None:
    """Without any configuration the second target stands in, then also without a first attempt."""
    async with Simulator() as sim, served(sim, breaker__minimum_calls="3") as (daemon, caller):
        sim.play(Script.of(only(SONNET, fault="status", status=529)))
        for _ in range(3):
            answer = await caller.Generate(QUESTION)
            assert (answer.target, answer.degraded) == (HAIKU, True)
            assert tried(answer) == [
                (SONNET, FAILED, "UPSTREAM_UNAVAILABLE"),
                (HAIKU, ANSWERED, ""),
            ]
        streamed = await read(caller.StreamGenerate(QUESTION))
        assert tried(streamed.messages[-1].response) == [
            (SONNET, SKIPPED, "BREAKER_OPEN"),
            (HAIKU, ANSWERED, ""),
        ]
        line = await daemon.logged("breaker", target=SONNET, after="open")
        assert "failure rate" in line["why"]


async def test_nothing_listens() -> None:
    """Every target refuses the connection: UNAVAILABLE, long before the deadline."""
    url = f"http://127.0.0.1:{unused_port()}"
    async with served(url, retry__max_attempts="2") as (_, caller):
        failed = await fails(caller.Generate(QUESTION, timeout=30))
        assert (failed.code, failed.reason) == ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
        assert failed.metadata["attempts"] == "4"
        assert "refused" in failed.message


async def test_the_static_answer_is_marked() -> None:
    """With a text for its route, a call is answered when all else failed, marked as what it is."""
    text = "The assistant is not available now."
    url = f"http://127.0.0.1:{unused_port()}"
    routes = {"static_message": text, "last_resorts": '["static"]'}
    more = {f"routes__default__{key}": value for key, value in routes.items()}
    more["routes__default__targets"] = json.dumps([{"model": SONNET}, {"model": HAIKU}])
    async with served(url, **more) as (daemon, caller):
        answer = await caller.Generate(QUESTION)
        assert (answer.text, answer.source, answer.degraded) == (text, pb.SOURCE_STATIC, True)
        assert (answer.model, answer.target, answer.usage.output_tokens) == ("", "", 0)
        assert [error for _, _, error in tried(answer)] == ["UPSTREAM_UNAVAILABLE"] * 2
        streamed = await read(caller.StreamGenerate(QUESTION))
        assert streamed.messages[-1].response.source == pb.SOURCE_STATIC
        line = await daemon.logged("call", source="static")
        assert line["degraded"]
        # The call's own word goes before its route's.
        own = pb.GenerateRequest(prompt="x", fallback=pb.FallbackPolicy())
        assert (await fails(caller.Generate(own))).reason == "UPSTREAM_UNAVAILABLE"


async def test_a_key_that_is_refused_is_the_operators_problem(tmp_path: Path) -> None:
    """401 moves on and is told the operator; a replaced key is used in the same call."""
    file = tmp_path / "key"
    file.write_text("sk-ant-old-000000000")
    async with (
        Simulator() as sim,
        served(sim, upstream__api_key_file=str(file)) as (daemon, caller),
    ):
        sim.play(Script.of(only(SONNET, fault="status", status=401)))
        answer = await caller.Generate(QUESTION)
        assert tried(answer) == [(SONNET, FAILED, "UPSTREAM_MISCONFIGURED"), (HAIKU, ANSWERED, "")]
        line = await daemon.logged("target misconfigured", target=SONNET)
        assert line["level"] == "error"
        file.write_text("sk-ant-new-000000000")
        sim.play(Script.of({"fault": "status", "status": 401}))
        answer = await caller.Generate(QUESTION)
        assert (answer.target, len(answer.attempts)) == (SONNET, 1)
        sent = sim.books.received[-1].headers["authorization"]
        assert sent == "Bearer sk-ant-new-000000000"


async def test_the_callers_mistake_is_asked_once() -> None:
    """A request that the upstream finds at fault goes to no other target."""
    async with Simulator() as sim, served(sim) as (_, caller):
        sim.play(Script.of({"fault": "status", "status": 413, "times": 5}))
        assert (await fails(caller.Generate(QUESTION))).reason == "UPSTREAM_REFUSED"
        assert sim.books.requests == 1


async def test_a_stream_that_breaks_goes_on_elsewhere() -> None:
    """With `continue_stream` the next target takes over where the text broke off, and says so."""
    async with Simulator() as sim, served(sim) as (_, caller):
        whole = (await caller.Generate(QUESTION)).text
        sim.play(Script.of({"fault": "reset", "after_events": 8}))
        asked = pb.GenerateRequest()
        asked.CopyFrom(QUESTION)
        asked.fallback.continue_stream = True
        streamed = await read(caller.StreamGenerate(asked))
        events = [event for message in streamed.messages for event in message.events]
        [continued] = [e.continued for e in events if e.HasField("continued")]
        assert (continued.from_target, continued.to_target) == (SONNET, HAIKU)
        assert continued.error == "UPSTREAM_INTERRUPTED"
        assert "".join([event.text_delta for event in events]) == whole
        answer = streamed.messages[-1].response
        assert (answer.target, answer.degraded) == (HAIKU, True)


async def test_a_stream_that_cannot_be_continued_starts_anew() -> None:
    """Where no model takes a prefilled turn, the caller is told to drop what came."""
    async with Simulator() as sim, served(sim) as (_, caller):
        whole = (await caller.Generate(QUESTION)).text
        broken = {"fault": "truncate", "after_events": 9}
        sim.play(Script.of(broken, {"fault": "no_prefill", "times": "always"}))
        asked = pb.GenerateRequest()
        asked.CopyFrom(QUESTION)
        asked.fallback.continue_stream = True
        streamed = await read(caller.StreamGenerate(asked))
        events = [event for message in streamed.messages for event in message.events]
        kinds = [event.WhichOneof("event") for event in events]
        began = kinds.index("restarted")
        assert "".join([event.text_delta for event in events[:began]])
        assert "".join([event.text_delta for event in events[began:]]) == whole
        answer = streamed.messages[-1].response
        assert (answer.target, answer.degraded) == (HAIKU, True)


async def test_a_stream_that_breaks_is_aborted_by_default() -> None:
    """Without it the stream ends with ABORTED and is never told whole."""
    async with Simulator() as sim, served(sim) as (_, caller):
        sim.play(Script.of({"fault": "reset", "after_events": 8}))
        streamed = await read(caller.StreamGenerate(QUESTION))
        assert streamed.failure is not None
        assert (streamed.failure.code, streamed.whole) == ("ABORTED", False)


async def test_a_hedge_answers_for_a_slow_attempt() -> None:
    """A second attempt answers first; the slow one is closed, and is on the trail."""
    hedge = {"hedge__enabled": "true", "hedge__delay_s": "0.1", "hedge__min_delay_s": "0.05"}
    async with Simulator() as sim, served(sim, **hedge) as (_, caller):
        sim.play(Script.of({"fault": "slow_first_event", "delay_s": 20}))
        streamed = await read(caller.StreamGenerate(QUESTION, timeout=10))
        answer = streamed.messages[-1].response
        assert [outcome for _, outcome, _ in tried(answer)] == [FAILED, ANSWERED]
        assert answer.attempts[0].error == "ABANDONED"
        await until(lambda: not sim.books.open)
        assert sim.books.requests == 2


async def test_a_full_daemon_refuses_at_once() -> None:
    """Beyond the permits and the queue a call hears at once that it may come again later."""
    few = {"admission__in_flight": "2", "admission__queue": "1"}
    async with Simulator() as sim, served(sim, **few) as (_, caller):
        sim.play(Script.of({"fault": "none", "pace": {"first_event_s": 1.0}, "times": 3}))
        running_ = [asyncio.ensure_future(caller.Generate(QUESTION)) for _ in range(3)]
        await until(lambda: len(sim.books.open) == 2)
        failed = await fails(caller.Generate(QUESTION, timeout=5))
        assert (failed.code, failed.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert failed.retry_after_s is not None
        answers = await asyncio.gather(*running_)
        assert sorted(answer.timings.queued.ToSeconds() >= 0 for answer in answers)
        assert sum(answer.HasField("timings") for answer in answers) == 3
        assert max(answer.timings.queued.ToMilliseconds() for answer in answers) > 500


async def test_a_flooding_tenant_leaves_room_for_others() -> None:
    """One tenant's hundreds of waiting calls don't go before another tenant's single one."""
    few = {"admission__in_flight": "4", "admission__queue": "500"}
    async with Simulator() as sim, served(sim, **few) as (_, caller):
        sim.play(Script.of({"fault": "none", "pace": {"first_event_s": 0.02}, "times": "always"}))
        flood = pb.GenerateRequest(prompt="flood", tenant="loud")
        waiting = [asyncio.ensure_future(caller.Generate(flood)) for _ in range(600)]
        await asyncio.sleep(0.3)
        quiet = pb.GenerateRequest(prompt="one", tenant="quiet")
        answer = await caller.Generate(quiet, timeout=10)
        done = sum(task.done() and task.exception() is None for task in waiting)
        assert done < 450, "the single call was served before most of the flood"
        assert answer.timings.queued.ToMilliseconds() < 1_000
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_slow_answers_open_the_breaker_too() -> None:
    """A target whose first events are late is left alone, though every answer of it was whole."""
    slow = {"breaker__slow_s": "0.1", "breaker__minimum_calls": "3"}
    async with Simulator() as sim, served(sim, **slow) as (daemon, caller):
        late = {"fault": "slow_first_event", "delay_s": 0.2}
        sim.play(Script.of(only(SONNET, **late)))
        for _ in range(3):
            streamed = await read(caller.StreamGenerate(QUESTION))
            assert streamed.messages[-1].response.target == SONNET
        streamed = await read(caller.StreamGenerate(QUESTION))
        assert streamed.messages[-1].response.target == HAIKU
        line = await daemon.logged("breaker", target=SONNET, after="open")
        assert "slow rate" in line["why"]


async def test_a_host_that_does_not_exist_is_told_by_name() -> None:
    """An operator who reads the answer can act on it."""
    async with served("https://upstream.invalid") as (_, caller):
        failed = await fails(caller.Generate(QUESTION, timeout=20))
        assert (failed.code, failed.reason) == ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
        assert "upstream.invalid" in failed.message
