"""Traces of a real daemon, as a collector gets them, and what a collector can't do to calls."""

import asyncio
import json
import re
import signal

import aiohttp
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.collector import Collector, facts
from tests.support.daemon import ONCE, Daemon, running, settings
from tests.support.rawserver import unused_port
from tests.support.rpc import connected, read

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "vendor=x"))
NOT_SAMPLED = (("traceparent", f"00-{TRACE[::-1]}-{PARENT}-00"),)


def traced(sim: Simulator, url: str, **more: str) -> dict[str, str]:
    return settings(sim.base_url) | {
        "SIDECARD_TRACES__ENDPOINT": url,
        "SIDECARD_TRACES__EVERY_S": "0.05",
        "SIDECARD_TRACES__SERVICE": "pod-1",
        "SIDECARD_RETRY__BASE_S": "0.001",
        **more,
    }


async def counted(daemon: Daemon) -> dict[str, float]:
    """Return how many spans were sent, and how many dropped."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{daemon.admin}/metrics") as answer,
    ):
        page = await answer.text()
    found = re.findall(r'sidecard_spans_total\{result="(\w+)"\} (\S+)', page)
    return {result: float(number) for result, number in found}


async def test_a_call_and_its_attempts_are_one_trace() -> None:
    """From the caller's traceparent to the upstream's, by gRPC and by HTTP; the log has its id."""
    port = unused_port()
    async with Collector() as collector, Simulator() as sim:
        env = traced(sim, collector.url, SIDECARD_LISTEN__HTTP=f"127.0.0.1:{port}")
        async with running(env) as daemon, connected(daemon.address) as caller:
            sim.play(Script.of({"fault": "status", "status": 529}))
            request = pb.GenerateRequest(prompt="a secret", tenant="team")
            answer = await caller.Generate(request, metadata=SAMPLED)
            call, failed, chat = await collector.trace(TRACE, 3)
            line = await daemon.logged("call")
            assert line["trace_id"] == TRACE
            assert collector.services == {"pod-1"}
            assert (call.parent_span_id.hex(), call.name) == (PARENT, "generate default")
            assert (call.kind, call.trace_state) == (Span.SPAN_KIND_SERVER, "vendor=x")
            assert facts(call)["sidecard.tenant"] == "team"
            assert facts(call)["sidecard.attempts"] == 2
            for span in (failed, chat):
                assert span.parent_span_id == call.span_id
                assert span.kind == Span.SPAN_KIND_CLIENT
                assert call.start_time_unix_nano <= span.start_time_unix_nano
                assert span.end_time_unix_nano <= call.end_time_unix_nano
            assert failed.status.code == Status.STATUS_CODE_ERROR
            assert facts(failed)["error.type"] == "UPSTREAM_UNAVAILABLE"
            assert facts(chat) | {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "anthropic",
                "gen_ai.request.model": answer.target,
                "gen_ai.usage.input_tokens": answer.usage.input_tokens,
                "gen_ai.usage.output_tokens": answer.usage.output_tokens,
            } == facts(chat)
            sent = [received.headers["traceparent"] for received in sim.books.received]
            assert sent == [f"00-{TRACE}-{span.span_id.hex()}-01" for span in (failed, chat)]
            reasons = facts(chat)["gen_ai.response.finish_reasons"]
            assert 'string_value: "end_turn"' in str(reasons)
            assert "gen_ai.response.finish_reasons" not in facts(failed)
            assert "secret" not in str(collector.spans)

            body = {"model": "default", "max_tokens": 9}
            body |= {"messages": [{"role": "user", "content": "hi"}]}
            headers = {"traceparent": f"00-{TRACE[::-1]}-{PARENT}-01"}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"http://127.0.0.1:{port}/v1/messages", json=body, headers=headers),
            ):
                assert len(await collector.trace(TRACE[::-1], 2)) == 2


@pytest.mark.parametrize("fault", ["slow_headers", "blackhole", "stand-in"])
async def test_attempts_for_several_are_one_span(fault: str) -> None:
    """Of calls that share one attempt each has its span, and the attempt has one, failed or not."""
    async with Collector() as collector, Simulator() as sim:
        env = ONCE | traced(
            sim,
            collector.url,
            SIDECARD_CACHE__COALESCE="true",
            SIDECARD_TIMEOUTS__FIRST_EVENT_S="0.6",
            SIDECARD_UPSTREAM__UNSTREAMED_MAX_TOKENS="0",  # What comes in one piece has no first.
        )
        env["SIDECARD_ROUTES__DEFAULT__TARGETS"] = '[{"model": "claude-sonnet-5-5"}]'
        if fault == "stand-in":
            env["SIDECARD_ROUTES__DEFAULT__LAST_RESORTS"] = '["static"]'
            env["SIDECARD_ROUTES__DEFAULT__STATIC_MESSAGE"] = "Later."
        async with running(env) as daemon, connected(daemon.address) as caller:
            answers = {"fault": "slow_headers", "delay_s": 0.3}
            hangs = {"fault": "blackhole", "for_s": 60}
            sim.play(Script.of(answers if fault == "slow_headers" else hangs))
            request = pb.GenerateRequest(prompt="hi")
            asked = [caller.Generate(request, metadata=SAMPLED) for _ in range(5)]
            ended = await asyncio.gather(*asked, return_exceptions=True)
            assert [isinstance(end, Exception) for end in ended] == [fault == "blackhole"] * 5
            assert sim.books.requests == 1
            spans = await collector.trace(TRACE, 6)
            await asyncio.sleep(0.2)  # Four times as long as spans wait to be sent.
            spans = await collector.trace(TRACE, 6)
            names = [span.name.split()[0] for span in spans]
            assert (names.count("generate"), names.count("chat")) == (5, 1)
            assert len({span.span_id for span in spans}) == 6


async def test_hedges_and_continuations_are_marked() -> None:
    """A late attempt's company, and who goes on with a broken stream, beside who broke it."""
    models = ["claude-sonnet-5-5", "claude-haiku-5-5"]
    async with Collector() as collector, Simulator() as sim:
        env = traced(
            sim,
            collector.url,
            SIDECARD_ROUTES__DEFAULT__TARGETS=json.dumps([{"model": name} for name in models]),
            SIDECARD_ROUTES__DEFAULT__CONTINUE_STREAM="true",
            SIDECARD_HEDGE__ENABLED="true",
            SIDECARD_HEDGE__DELAY_S="0.3",
        )
        async with running(env) as daemon, connected(daemon.address) as caller:
            sim.play(Script.of({"fault": "slow_first_event", "delay_s": 5.0}))
            await caller.Generate(pb.GenerateRequest(prompt="late"), metadata=SAMPLED)
            kinds = [facts(span) for span in await collector.trace(TRACE, 3)][1:]
            assert [fact.get("sidecard.attempt.kind") for fact in kinds] == [None, "hedge"]
            assert [fact.get("error.type") for fact in kinds] == ["ABANDONED", None]
            collector.spans.clear()
            sim.play(Script.of({"fault": "reset", "after_events": 8}))
            long = pb.GenerateRequest(prompt="Tell me of the sea, and of the wind. " * 5)
            await read(caller.StreamGenerate(long, metadata=SAMPLED))
            kinds = [facts(span) for span in await collector.trace(TRACE, 3)][1:]
            assert [fact.get("sidecard.attempt.kind") for fact in kinds] == [None, "continuation"]
            assert [fact["gen_ai.request.model"] for fact in kinds] == models


async def test_what_is_not_sampled_is_passed_on_and_not_told() -> None:
    """Whoever began a trace says; of those that begin here, `traces.sample` does."""
    async with Collector() as collector, Simulator() as sim:
        env = traced(sim, collector.url, SIDECARD_TRACES__SAMPLE="0", SIDECARD_LOG__CONTENT="full")
        async with running(env) as daemon, connected(daemon.address) as caller:
            request = pb.GenerateRequest(prompt="what is wanted")
            await caller.Generate(request)
            await caller.Generate(request, metadata=NOT_SAMPLED)
            await read(caller.StreamGenerate(request, metadata=SAMPLED))
            call, chat = await collector.trace(TRACE, 2)
            assert facts(call)["sidecard.prompt"] == "user: what is wanted"
            assert facts(chat)["gen_ai.request.stream"] is True
            assert len(collector.spans) == 2
            sent = [received.headers["traceparent"] for received in sim.books.received]
            assert [header[-2:] for header in sent] == ["00", "00", "01"]
            assert TRACE[::-1] in sent[1]
            assert await counted(daemon) == {"sent": 2}


async def test_a_collector_that_hangs_delays_neither_calls_nor_the_end() -> None:
    """What it doesn't take is dropped and counted; the daemon is gone soon after its signal."""
    async with Collector() as collector, Simulator() as sim:
        collector.hangs = True
        env = traced(sim, collector.url, SIDECARD_TRACES__QUEUE="3")
        async with running(env) as daemon, connected(daemon.address) as caller:
            await caller.Generate(pb.GenerateRequest(prompt="first"))
            await asyncio.wait_for(collector.asked.wait(), 5)
            async with asyncio.timeout(5):
                for _ in range(10):
                    await caller.Generate(pb.GenerateRequest(prompt="more"))
            assert await counted(daemon) == {"dropped": 14}
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended(within_s=5) == 0


async def test_a_collector_that_comes_back_is_told_again() -> None:
    """One line says that nothing is taken, and one that it is again."""
    async with Collector() as collector, Simulator() as sim:
        collector.status = 503
        async with running(traced(sim, collector.url)) as daemon, connected(daemon.address) as call:
            await call.Generate(pb.GenerateRequest(prompt="lost"))
            line = await daemon.logged("traces aren't taken: they are dropped until they are")
            assert line["why"] == "HTTP status 503"
            collector.status = 200
            await call.Generate(pb.GenerateRequest(prompt="kept"), metadata=SAMPLED)
            await collector.trace(TRACE, 2)
            await daemon.logged("traces are taken again")


async def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    """Nor is a traceparent looked at, or sent on."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {"PYTHONPROFILEIMPORTTIME": "1"}
        async with running(env) as daemon, connected(daemon.address) as caller:
            await caller.Generate(pb.GenerateRequest(prompt="hi"), metadata=SAMPLED)
            assert "trace_id" not in await daemon.logged("call")
        loaded = [line["text"] for line in daemon.lines if not line["event"]]
        assert any("sidecard.app" in line for line in loaded)
        assert not any("opentelemetry" in line for line in loaded)
        assert "traceparent" not in {name.lower() for name in sim.books.received[0].headers}
