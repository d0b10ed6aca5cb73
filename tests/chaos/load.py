"""Steady load on a daemon, a note of what became of each call, and what must hold for all."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc

from sidecard.v1 import generation_pb2 as pb
from tests.support.rpc import Caller, failure, read

PROMPT = "please say something that takes a few words to say"
LATE_S = 0.1
"""How late after its deadline a call may end."""
_TICK_S = 0.01


@dataclass(frozen=True)
class Sample:
    """One call: moments in seconds of the monotonic clock, and how it ended.

    `reason` is empty for an answer; `text` is what came, also of a stream that then failed.
    `lag_s` is by how much the load's own event loop was late at worst, which is no fault of the
    daemon's: on a busy machine it ends calls later than they end.
    """

    began: float
    ended: float
    deadline_s: float
    stream: bool
    reason: str
    text: str
    source: str = ""
    target: str = ""
    degraded: bool = False
    attempts: int = 0
    lag_s: float = 0.0

    @property
    def answered(self) -> bool:
        return not self.reason


async def ask(caller: Caller, *, stream: bool, deadline_s: float, **fields: Any) -> Sample:
    """Make one call and note it; every way of ending is an end."""
    began = time.monotonic()
    request = pb.GenerateRequest(**{"prompt": PROMPT, **fields})
    answer, failed, text = pb.GenerateResponse(), None, ""
    if stream:
        streamed = await read(caller.StreamGenerate(request, timeout=deadline_s))
        failed = streamed.failure
        text = "".join([e.text_delta for m in streamed.messages for e in m.events])
        assert failed is not None or streamed.whole, "a stream ended OK without its end"
        answer = streamed.messages[-1].response if streamed.messages else answer
    else:
        try:
            answer = await caller.Generate(request, timeout=deadline_s)
            text = answer.text
        except grpc.aio.AioRpcError as error:
            failed = failure(error)
    ended = time.monotonic()
    if failed is not None:
        reason = failed.reason or failed.code
        sent = int(failed.metadata.get("attempts") or 0)
        return Sample(began, ended, deadline_s, stream, reason, text, attempts=sent)
    return Sample(
        began,
        ended,
        deadline_s,
        stream,
        "",
        text,
        source=pb.Source.Name(answer.source),
        target=answer.target,
        degraded=answer.degraded,
        attempts=sum(a.outcome != pb.Attempt.OUTCOME_SKIPPED for a in answer.attempts),
    )


async def steady(
    caller: Caller, *, per_s: float, for_s: float, deadline_s: float, **fields: Any
) -> list[Sample]:
    """Make calls at a steady rate, unary and streamed by turns, whatever becomes of the others."""
    begin = time.monotonic()
    lag = Lag()
    tasks = []
    for number in itertools.count():
        due = begin + number / per_s
        if due >= begin + for_s:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        asking = ask(caller, stream=number % 2 == 1, deadline_s=deadline_s, **fields)
        tasks.append(asyncio.ensure_future(asking))
    samples = await asyncio.gather(*tasks)
    lag_s = await lag.stop()
    return [replace(sample, lag_s=lag_s) for sample in samples]


class Lag:
    """Measures by how much the running event loop is late at worst, until it is stopped."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            due = time.monotonic() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._worst_s = max(self._worst_s, time.monotonic() - due)

    async def stop(self) -> float:
        """Return the worst, in seconds."""
        self._task.cancel()
        await asyncio.wait([self._task])
        return self._worst_s


def hold(samples: Sequence[Sample], *, texts: set[str], cap: int = 6) -> None:
    """Assert what must hold for every call, whatever was done to the upstream."""
    assert samples
    for sample in samples:
        assert sample.ended - sample.began <= sample.deadline_s + LATE_S + sample.lag_s, sample
        assert sample.attempts <= cap, sample
        if sample.answered:
            assert sample.text in texts, sample


def tally(samples: Sequence[Sample]) -> Counter[str]:
    """Return how often each end came: the source of an answer, or the reason of a failure."""
    return Counter([sample.reason or sample.source for sample in samples])


def between(samples: Sequence[Sample], begin: float, end: float) -> list[Sample]:
    """Return the calls that began in that time."""
    return [sample for sample in samples if begin <= sample.began < end]


async def status(address: str) -> dict[str, Any]:
    """Return what the daemon's admin server says of itself."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head = f"GET /status.json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(5):
            answer = await reader.read()
    finally:
        writer.close()
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document
