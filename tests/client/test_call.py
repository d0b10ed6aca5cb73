"""`sidecard call`: the answer on standard output, one clear line where there is none."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecard.core.errors import (
    InvalidCall,
    Overloaded,
    SidecardError,
    UpstreamInterrupted,
    Violation,
)
from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.stream_pb2 import Restarted, StreamEvent
from tests.support.scripted_daemon import (
    Context,
    ScriptedDaemon,
    closed,
    eventually,
    fail,
    failing,
    opened,
    packed,
    text,
    waiting,
)

PIPE = asyncio.subprocess.PIPE


def environment() -> dict[str, str]:
    """Return what the command runs under: it finds the code, and buffers as it does for users."""
    path = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": ""}


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command as a user does, and kill it if the block leaves it running."""
    command = (sys.executable, "-m", "sidecard", "call", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment()
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def call(*arguments: str, stdin: str = "") -> tuple[int | None, str, str]:
    """Return the exit status, what was printed, and what was complained of."""
    async with started(*arguments) as process:
        out, err = await process.communicate(stdin.encode())
        return process.returncode, out.decode(), err.decode()


def answers(daemon: ScriptedDaemon, but: pb.GenerateResponse | None = None) -> None:
    """Have the daemon give a good answer, changed as said."""
    answer = pb.GenerateResponse(text="hi", stop_reason="end_turn", model="m", request_id="r")
    answer.MergeFrom(but or pb.GenerateResponse())

    async def generate(_: object, _context: object) -> pb.GenerateResponse:
        return answer

    daemon.generate = generate


async def test_the_answer_is_printed_alone(daemon: ScriptedDaemon) -> None:
    """Nothing but the answer on standard output, nothing at all on standard error."""
    answers(daemon)
    assert await call("hello", "--address", daemon.address) == (0, "hi\n", "")
    assert daemon.request.prompt == "hello"


async def test_flags_become_fields(daemon: ScriptedDaemon) -> None:
    """What is asked for on the command line arrives; - reads the prompt from standard input."""
    flags = ("--model=fast", "--system=brief", "--max-tokens=9", "--tenant=acme", "--timeout=20")
    answers(daemon)
    status, _, _ = await call("-", "--address", daemon.address, *flags, stdin="from a pipe\n")
    asked = daemon.request
    assert (status, asked.prompt, asked.model) == (0, "from a pipe\n", "fast")
    assert (asked.system, asked.max_tokens, asked.tenant) == ("brief", 9, "acme")
    assert 15 < (daemon.time_remaining_s or 0) < 21  # gRPC rounds up


async def test_a_stream_is_printed_as_it_comes(daemon: ScriptedDaemon) -> None:
    """The first piece is on the screen while the rest isn't written yet."""
    proceed = asyncio.Event()

    async def stream(_: object, _context: object) -> AsyncIterator[pb.StreamGenerateResponse]:
        yield opened()
        yield packed(text("Hel"))
        await proceed.wait()
        yield packed(text("lo"))
        for message in closed():
            yield message

    daemon.stream = stream
    async with started("hi", "--stream", "--address", daemon.address) as process:
        assert process.stdout is not None
        assert await process.stdout.readexactly(3) == b"Hel"
        proceed.set()
        assert await process.communicate() == (b"lo\n", b"")
        assert process.returncode == 0


async def test_json_is_the_whole_response(daemon: ScriptedDaemon) -> None:
    """With the contract's own names, for scripts to read."""
    answers(daemon, pb.GenerateResponse(usage={"input_tokens": 3}, source="SOURCE_UPSTREAM"))
    status, out, _ = await call("hi", "--json", "--address", daemon.address)
    document = json.loads(out)
    assert (status, document["text"], document["stop_reason"]) == (0, "hi", "end_turn")
    assert (document["usage"], document["source"]) == ({"input_tokens": "3"}, "SOURCE_UPSTREAM")


async def test_verbose_tells_where_the_answer_came_from(daemon: ScriptedDaemon) -> None:
    """Source, tokens, exact cost and times, on standard error."""
    answer = pb.GenerateResponse(
        source="SOURCE_UPSTREAM",
        target="t",
        usage={"input_tokens": 3, "cache_read_tokens": 4, "output_tokens": 5},
        cost_nano_usd=1_000_000_001,
        timings={"first_event": {"nanos": 12_000_000}, "total": {"seconds": 1}},
    )
    answers(daemon, answer)
    status, out, err = await call("hi", "-v", "--address", daemon.address)
    assert (status, out) == (0, "hi\n")
    assert err.splitlines() == [
        "source: UPSTREAM from t, model m",
        "tokens: 7 in, 5 out",
        "cost: $1.000000001",
        "time: 12 ms to the first event, 1000 ms in all",
        "request: r",
    ]


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (pb.GenerateResponse(model="simulated-1"), "note: this answer is simulated"),
        (pb.GenerateResponse(stop_reason="max_tokens"), "note: the model stopped at max_tokens"),
        (pb.GenerateResponse(degraded=True, source="SOURCE_STATIC"), "note: a stand-in"),
    ],
)
async def test_an_answer_that_is_not_what_it_seems_says_so(
    daemon: ScriptedDaemon, answer: pb.GenerateResponse, note: str
) -> None:
    """A simulated, cut-off or stand-in answer is named on standard error."""
    answers(daemon, answer)
    status, out, err = await call("hi", "--address", daemon.address)
    assert (status, out) == (0, "hi\n")
    assert err.startswith(note)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            Overloaded("the queue is full", retry_after_s=2),
            "OVERLOADED: the queue is full (request req-1, retry after 2 s)",
        ),
        (
            InvalidCall(Violation("max_tokens", "0; at least 1")),
            "INVALID_CALL: max_tokens: 0; at least 1 (request req-1)",
        ),
    ],
)
async def test_a_failure_is_one_line(
    daemon: ScriptedDaemon, error: SidecardError, line: str
) -> None:
    """Reason, message, request id and retry delay; status 1; no traceback."""
    daemon.generate = failing(error)
    result = await call("hi", "--address", daemon.address)
    assert result == (1, "", f"sidecard call: {line}\n")


async def test_text_that_is_void_is_told_from_the_answer(daemon: ScriptedDaemon) -> None:
    """After a new start the answer begins on a line of its own, and a note says what is void."""

    async def stream(_: object, _context: object) -> AsyncIterator[pb.StreamGenerateResponse]:
        for piece in ("", "Hel"):
            yield packed(StreamEvent(restarted=Restarted()))
            yield opened()
            if piece:
                yield packed(text(piece))
        yield packed(StreamEvent(restarted=Restarted()))
        yield opened()
        yield packed(text("Hello"))
        for message in closed():
            yield message

    daemon.stream = stream
    status, out, err = await call("hi", "--stream", "--address", daemon.address)
    assert (status, out) == (0, "Hel\nHello\n")
    assert err == "note: the answer begins anew, what came before is void\n"


async def test_a_broken_stream_fails_after_its_text(daemon: ScriptedDaemon) -> None:
    """What came stays on the screen, and the status says that it isn't an answer."""

    async def stream(_: object, context: Context) -> AsyncIterator[pb.StreamGenerateResponse]:
        yield opened()
        yield packed(text("Hel"))
        await fail(context, UpstreamInterrupted("broke off"))

    daemon.stream = stream
    status, out, err = await call("hi", "--stream", "--address", daemon.address)
    assert (status, out) == (1, "Hel\n")
    assert err == "sidecard call: UPSTREAM_INTERRUPTED: broke off (request req-1)\n"


async def test_no_daemon_is_one_line_too(tmp_path: Path) -> None:
    """It says how to start one."""
    status, out, err = await call("hi", "--address", f"unix://{tmp_path}/nobody")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "`sidecard serve` starts one" in err


async def test_a_static_answer_comes_from_nobody(daemon: ScriptedDaemon) -> None:
    """No target and no model are named where there is none."""

    async def generate(_: object, _context: object) -> pb.GenerateResponse:
        return pb.GenerateResponse(
            text="later", stop_reason="end_turn", degraded=True, source="SOURCE_STATIC"
        )

    daemon.generate = generate
    status, _, err = await call("hi", "-v", "--address", daemon.address)
    assert (status, err.splitlines()[:2]) == (
        0,
        ["note: a stand-in, not the first choice: STATIC", "source: STATIC"],
    )


async def test_the_help_tells_of_tokens() -> None:
    """The command takes one, like each client, from the environment."""
    status, out, _ = await call("--help")
    assert (status, "set SIDECARD_TOKEN to it" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "PROMPT"),
        (["hi", "--stream", "--json"], "not allowed with"),
        (["hi", "--max-tokens", "many"], "--max-tokens"),
        (["hi", "--address", "http://x"], "neither host:port nor unix:///path"),
    ],
)
async def test_a_wrong_use_is_status_2(arguments: list[str], said: str) -> None:
    """The command says what it didn't understand."""
    status, out, err = await call(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("flags", [[], ["--stream"]])
async def test_an_interrupt_ends_quietly(daemon: ScriptedDaemon, flags: list[str]) -> None:
    """Ctrl-C: no traceback, status 130, and the call is cancelled at the daemon."""

    async def stalling(_: object, _context: object) -> AsyncIterator[pb.StreamGenerateResponse]:
        yield opened()
        await asyncio.Event().wait()

    daemon.generate, daemon.stream = waiting, stalling
    async with started("hi", *flags, "--address", daemon.address) as process:
        await eventually(lambda: daemon.calls == 1)
        process.send_signal(signal.SIGINT)
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 130
    await asyncio.wait_for(daemon.cancelled.wait(), 1)


async def test_a_closed_pipe_ends_quietly(daemon: ScriptedDaemon) -> None:
    """`sidecard call … | head -1`: no traceback when nobody reads on."""

    async def endless(_: object, _context: object) -> AsyncIterator[pb.StreamGenerateResponse]:
        yield opened()
        while True:
            yield packed(text("x" * 4096))
            await asyncio.sleep(0.01)

    daemon.stream = endless
    async with started("hi", "--stream", "--address", daemon.address) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stdout.readexactly(10)
        process.stdout._transport.close()  # type: ignore[attr-defined]
        assert await process.stderr.read() == b""
        assert await process.wait() == 141


async def test_it_starts_light(daemon: ScriptedDaemon) -> None:
    """The command imports the client and nothing of the daemon's weight."""
    answers(daemon)
    code = (
        "import sys; from sidecard.cli.main import main;"
        f"status = main(['call', 'hi', '--address', '{daemon.address}']);"
        "heavy = {'pydantic', 'aiohttp', 'anthropic', 'structlog', 'yaml', 'google.rpc'};"
        "print(status, heavy & set(sys.modules))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=PIPE, env=environment()
    )
    assert (await process.communicate())[0] == b"hi\n0 set()\n"


async def test_the_example_runs(daemon: ScriptedDaemon) -> None:
    """The program that the README points to works as it stands."""
    example = Path(__file__).parents[2] / "clients/python/examples/ask.py"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, example, "Why?"),
        stdout=PIPE,
        stderr=PIPE,
        env=environment() | {"SIDECARD_ADDRESS": daemon.address},
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.decode().splitlines() == [
        *("Why?", "  (UPSTREAM, 0 tokens)", "", "Hello, world", "  (stopped at end_turn)"),
    ]
