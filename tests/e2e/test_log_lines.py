"""The log of a real daemon: what calls say where that is wanted, and no line that they forge."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.daemon import ONCE, running, settings, spawn
from tests.support.rpc import connected, fails, read

KEY = "sk-ant-api03-abcdefghijklmnop"
MAIL = "bob@example.com"
NASTY = st.text(
    st.sampled_from('\n\r\t\v\f\b\0\x1b\x7f\x85\x9b\u2028\u2029\u202e{}"\\,=[]m eventcall'),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize(
    ("content", "prompt"),
    [("none", None), ("redacted", "mail [email], use [key]"), ("full", f"mail {MAIL}, use [key]")],
)
async def test_the_log_says_what_calls_say_as_far_as_wanted(
    content: str, prompt: str | None
) -> None:
    """Prompt and answer, of a stream, too, and of a hit; without keys in any case."""
    request = pb.GenerateRequest(prompt=f"mail {MAIL}, use {KEY}", system="Be kind")
    wanted = None if prompt is None else f"system: Be kind\nuser: {prompt}"
    async with Simulator() as sim:
        env = settings(sim.base_url) | {
            "SIDECARD_LOG__CONTENT": content,
            "SIDECARD_CACHE__ENABLED": "true",
        }
        async with running(env) as daemon, connected(daemon.address) as caller:
            answer = await caller.Generate(request, metadata=(("x-request-id", "first"),))
            await caller.Generate(request, metadata=(("x-request-id", "again"),))
            await read(caller.StreamGenerate(request, metadata=(("x-request-id", "stream"),)))
            request.cache.mode = pb.CachePolicy.MODE_BYPASS
            await read(caller.StreamGenerate(request, metadata=(("x-request-id", "fresh"),)))
            for name in ("first", "again", "stream", "fresh"):
                line = await daemon.logged("call", request_id=name)
                assert line.get("prompt") == wanted
                assert bool(line.get("answer")) == (content != "none")
                if content == "full":
                    assert line["answer"] == answer.text.replace(KEY, "[key]")
            assert KEY not in json.dumps(daemon.lines)


@pytest.mark.parametrize("form", ["json", "console"])
@examples(max_examples=1, deadline=None)
@given(texts=st.lists(NASTY, min_size=40, max_size=60))
async def test_nothing_that_is_said_forges_a_line(form: str, texts: list[str]) -> None:
    """Prompts, answers, tenants, and errors of the upstream: one call, one line, all printable."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | ONCE | {"SIDECARD_LOG__CONTENT": "full"}
        process = await spawn(env | {"SIDECARD_LOG__FORMAT": form})
        assert process.stderr is not None
        try:
            serving = (await process.stderr.readline()).decode()
            found = re.search(r"grpc\W+(127\.0\.0\.1:\d+)", serving)
            assert found is not None, serving
            async with connected(found[1]) as caller:
                for text in texts:
                    sim.play(Script.of(*_failing(text)))
                    await fails(caller.Generate(pb.GenerateRequest(prompt=text)))
                    await read(caller.StreamGenerate(pb.GenerateRequest(prompt=text)))
                    await fails(caller.Generate(pb.GenerateRequest(prompt="p", tenant=text)))
            process.terminate()
            lines = (await process.stderr.read()).decode().split("\n")[:-1]
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        assert len(calls := [line for line in lines if _is_call(line, form)]) == 2 * len(texts)
        assert all(line.isprintable() for line in lines)
        assert len(lines) <= 3 * len(texts) + 5, "a call has a line of its own, and no more"
        if form == "json":
            assert [json.loads(line)["prompt"] for line in calls[::2]] == [
                f"user: {text}" for text in texts
            ]


def _failing(text: str) -> list[dict[str, Any]]:
    error = {"type": "invalid_request_error", "message": text}
    return [{"fault": "status", "status": 400, "body": {"type": "error", "error": error}}]


def _is_call(line: str, form: str) -> bool:
    if form == "json":
        return bool(json.loads(line)["event"] == "call")
    return re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[info *\] call +\w+=", line) is not None
