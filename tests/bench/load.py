"""The load: calls in a closed loop, from a process of its own that counts what it costs itself.

A job is a line of JSON on standard input, its result a line on standard output; it ends with
its input. Requests and answers are bytes to it: what the client library of a caller would do
with them is no matter of the server's.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from time import monotonic_ns, perf_counter_ns, process_time_ns
from typing import Final, TypeAlias

import grpc
import uvloop

from sidecard.v1 import generation_pb2 as pb
from tests.bench import direct, keeping, payload
from tests.bench.jobs import Job, Kind, Took
from tests.bench.usage import cpu_ns

Once: TypeAlias = Callable[[], Awaitable[int]]

TIMEOUT_S: Final = 30.0
_SETTLE_S: Final = 0.02
_ANSWERED: Final = 0.95
"""The share of the time between a kept call and its next one for which the mock waits."""
_SERVICE: Final = "/sidecard.v1.GenerationService/"
_PROMPTS: Final = {"unary": payload.PLAIN, "first": payload.PACED, "burst": payload.BURST}
_DELTAS: Final = {
    "unary": payload.DELTAS,
    "first": payload.PACED_DELTAS,
    "burst": payload.BURST_DELTAS,
}
_OPTIONS: Final = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


class Load:
    """Does one job after the other. One channel a port, as an application has one."""

    def __init__(self) -> None:
        self._channels: dict[int, grpc.aio.Channel] = {}
        self._held: list[grpc.aio.UnaryStreamCall[bytes, bytes]] = []
        self._kept = keeping.Kept()

    async def do(self, job: Job) -> Took:
        """Do a job; raises whatever fails, since a bench of failures is none."""
        match job.op:
            case "calls":
                return await _timed(self._once(job), job)
            case "direct":
                client = await direct.connect(job.port)
                try:
                    return await _timed(client.first if job.kind == "first" else client.unary, job)
                finally:
                    client.close()
            case "check":
                await self._check(job)
            case "first_answer":
                return await self._first_answer(job.port)
            case "hold":
                await asyncio.gather(*[self._hold(job.port) for _ in range(job.calls)])
            case "let_go":
                for call in self._held:
                    call.cancel()
                self._held.clear()
                await self._channels.pop(job.port).close()
            case "keep" | "watch" | "stop_keeping":
                return await self._keep(job)
        return Took()

    def _once(self, job: Job) -> Once:
        """Return what makes one call and returns its nanoseconds: to its end, or first delta."""
        request = _request(job.kind)
        if job.kind == "unary":
            unary = _unary(self._channel(job.port))

            async def ask() -> int:
                began = perf_counter_ns()
                await unary(request, timeout=TIMEOUT_S)
                return perf_counter_ns() - began

            return ask
        stream = _stream(self._channel(job.port))
        waits_for_first = job.kind == "first"

        async def read() -> int:
            began, first = perf_counter_ns(), 0
            async for message in stream(request, timeout=TIMEOUT_S):
                if waits_for_first and not first and _text(message):
                    first = perf_counter_ns()
            return (first or perf_counter_ns()) - began

        return read

    async def _check(self, job: Job) -> None:
        """Make one call and look at the whole of its answer."""
        channel, request = self._channel(job.port), _request(job.kind)
        if job.kind == "unary":
            answer = await _unary(channel)(request, timeout=TIMEOUT_S)
            got = pb.GenerateResponse.FromString(answer).text
        else:
            stream = _stream(channel)
            got = "".join([_text(m) async for m in stream(request, timeout=TIMEOUT_S)])
        wanted = payload.text_of(_DELTAS[job.kind])
        if got != wanted:
            raise ValueError(f"the answer is {got[:80]!r}… and not {wanted[:80]!r}…")

    async def _first_answer(self, port: int) -> Took:
        """Return when (`at_ns`, monotonic) a server that just starts gave its first answer."""
        async with asyncio.timeout(TIMEOUT_S):
            while not _listens(port):  # noqa: ASYNC110  # of another process
                await asyncio.sleep(0.001)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", _OPTIONS) as channel:
            await _unary(channel)(_request("unary"), timeout=TIMEOUT_S, wait_for_ready=True)
            return Took(at_ns=monotonic_ns())

    async def _hold(self, port: int) -> None:
        """Open a stream that stays open, and return when its first delta is there."""
        request = pb.GenerateRequest(prompt=payload.HELD).SerializeToString()
        call = _stream(self._channel(port))(request)
        self._held.append(call)
        while not _text(await call.read()):
            pass

    async def _keep(self, job: Job) -> Took:
        """Do a job that is about calls which are kept up."""
        if job.op == "watch":
            return await self._watch(job)
        if job.op == "stop_keeping":
            await self._kept.stop()
            await self._close()
        else:
            request = _prompt(payload.waiting(job.seconds * _ANSWERED))
            ask = partial(_unary(self._channel(job.port)), request, timeout=TIMEOUT_S)
            self._kept.start(job.port, ask, job.concurrency, job.seconds)
        return Took()

    async def _close(self) -> None:
        """Leave all servers."""
        for port in list(self._channels):
            await self._channels.pop(port).close()

    async def _watch(self, job: Job) -> Took:
        """Count for `job.seconds` what is answered and used."""
        before, answered = [cpu_ns(pid) for pid in job.watch], self._kept.answered()
        await asyncio.sleep(job.seconds)
        used = [cpu_ns(pid) - start for pid, start in zip(job.watch, before, strict=True)]
        more = [now - then for now, then in zip(self._kept.answered(), answered, strict=True)]
        return Took(cpu_ns=tuple(used), answered=tuple(more))

    def _channel(self, port: int) -> grpc.aio.Channel:
        if port not in self._channels:
            self._channels[port] = grpc.aio.insecure_channel(f"127.0.0.1:{port}", _OPTIONS)
        return self._channels[port]


async def _timed(once: Once, job: Job) -> Took:
    """Run `job.calls` calls, `job.concurrency` at a time."""
    latencies: list[int] = []
    turns = iter(range(job.calls))

    async def worker() -> None:
        for _ in turns:
            latencies.append(await once())  # noqa: PERF401  # others append meanwhile

    before, own_before = [cpu_ns(pid) for pid in job.watch], process_time_ns()
    await asyncio.gather(*[worker() for _ in range(job.concurrency)])
    own_cpu_ns = process_time_ns() - own_before
    await asyncio.sleep(_SETTLE_S)  # What a server does after its answer is its call's cost too.
    used = [cpu_ns(pid) - start for pid, start in zip(job.watch, before, strict=True)]
    return Took(tuple(latencies), tuple(used), own_cpu_ns)


def _unary(channel: grpc.aio.Channel) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    return channel.unary_unary(_SERVICE + "Generate")


def _stream(channel: grpc.aio.Channel) -> "grpc.aio.UnaryStreamMultiCallable[bytes, bytes]":
    return channel.unary_stream(_SERVICE + "StreamGenerate")


def _request(kind: Kind) -> bytes:
    return _prompt(_PROMPTS[kind])


def _prompt(text: str) -> bytes:
    return pb.GenerateRequest(prompt=text).SerializeToString()


def _text(message: object) -> str:
    """Return the text that a message of a stream delivers; raises where the stream has ended."""
    if not isinstance(message, bytes):
        raise TypeError("the stream ended")
    events = pb.StreamGenerateResponse.FromString(message).events
    return "".join([event.text_delta for event in events])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _main() -> None:
    loop, load = asyncio.get_running_loop(), Load()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        took = await load.do(Job(**json.loads(line)))
        print(json.dumps(asdict(took)), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
