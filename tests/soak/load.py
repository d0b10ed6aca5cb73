"""The callers of a soak: each asks, of many kinds of questions, one after the other."""

import asyncio
import random
import time
from itertools import count
from typing import Final

import grpc

from sidecard.v1 import generation_pb2 as pb
from tests.soak.judge import Ended
from tests.support.rpc import Caller, failure

_PAUSE_S: Final = 0.6
_DEADLINE_S: Final = 6.0
_FAQ: Final = 20


class Callers:
    """A number of callers, each with its own chance, until they are told to end."""

    def __init__(self, caller: Caller, *, number: int, seed: int) -> None:
        self.ended: list[Ended] = []
        self._caller = caller
        self._numbers = count()
        self._over = asyncio.Event()
        chances = [random.Random(seed + each) for each in range(number)]  # noqa: S311
        self._tasks = [asyncio.create_task(self._call(chance)) for chance in chances]

    async def stop(self) -> None:
        """Let each finish its call; raises what went wrong with one of them."""
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def _call(self, chance: random.Random) -> None:
        kinds = [
            (self._unary, 30), (self._stream, 30), (self._leave, 8), (self._equal, 6),
            (self._known, 14), (self._bad, 5), (self._hurried, 7),
        ]  # fmt: skip
        ways, weights = [way for way, _ in kinds], [weight for _, weight in kinds]
        while not self._over.is_set():
            [way] = chance.choices(ways, weights)
            await way(chance)
            await asyncio.sleep(chance.random() * 2 * _PAUSE_S)

    def _request(self, chance: random.Random, mark: str = "") -> tuple[pb.GenerateRequest, str]:
        mark = mark or f"mark{next(self._numbers)}x"
        request = pb.GenerateRequest(
            prompt=f"please say {mark} and then some",
            tenant=f"tenant-{chance.randrange(8)}",
            priority=chance.choice([pb.PRIORITY_INTERACTIVE, pb.PRIORITY_BATCH]),
        )
        return request, mark

    async def _unary(
        self, chance: random.Random, mark: str = "", kind: str = "unary", within_s: float = 0.0
    ) -> None:
        request, mark = self._request(chance, mark)
        await self._ask(kind, request, mark, within_s or _DEADLINE_S)

    async def _ask(
        self, kind: str, request: pb.GenerateRequest, mark: str, within_s: float
    ) -> None:
        began, reason, right = time.monotonic(), "", True
        try:
            answer = await self._caller.Generate(request, timeout=within_s)
            right = mark in answer.text
        except grpc.aio.AioRpcError as error:
            reason = failure(error).reason or error.code().name
        took_s = time.monotonic() - began
        self.ended.append(Ended(kind, took_s, reason, late_s=took_s - within_s, right=right))

    async def _stream(self, chance: random.Random) -> None:
        request, mark = self._request(chance)
        began, first_s, text, reason, whole = time.monotonic(), None, "", "", False
        try:
            async for message in self._caller.StreamGenerate(request, timeout=_DEADLINE_S):
                first_s = first_s or time.monotonic() - began
                text += "".join([event.text_delta for event in message.events])
                whole = message.HasField("response")
        except grpc.aio.AioRpcError as error:
            reason = failure(error).reason or error.code().name
        took_s = time.monotonic() - began
        right = bool(reason) or (whole and mark in text)
        late_s = took_s - _DEADLINE_S
        self.ended.append(Ended("stream", took_s, reason, first_s, late_s=late_s, right=right))

    async def _leave(self, chance: random.Random) -> None:
        """Leave in the middle: before anything came, or after the first."""
        request, _ = self._request(chance)
        stream = self._caller.StreamGenerate(request, timeout=_DEADLINE_S)
        try:
            if chance.random() < 0.5:
                await asyncio.wait_for(anext(aiter(stream)), 0.3)
            else:
                await asyncio.sleep(chance.random() * 0.05)
        except (TimeoutError, StopAsyncIteration, grpc.aio.AioRpcError):
            pass
        stream.cancel()

    async def _equal(self, chance: random.Random) -> None:
        """Ask the same at one moment, several times."""
        request, mark = self._request(chance)
        asked = [self._ask("equal", request, mark, _DEADLINE_S) for _ in range(4)]
        await asyncio.gather(*asked)

    async def _known(self, chance: random.Random) -> None:
        await self._unary(chance, f"faq{chance.randrange(_FAQ)}x", "known")

    async def _hurried(self, chance: random.Random) -> None:
        await self._unary(chance, kind="hurried", within_s=0.05 + chance.random() * 0.3)

    async def _bad(self, chance: random.Random) -> None:
        """Ask what can't be asked."""
        bad = chance.choice(
            [
                pb.GenerateRequest(),
                pb.GenerateRequest(prompt="x", max_tokens=-1),
                pb.GenerateRequest(prompt="x", model="no-such-route"),
                pb.GenerateRequest(prompt="x", tenant="no tenant\n"),
            ]
        )
        began, reason = time.monotonic(), ""
        try:
            await self._caller.Generate(bad, timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            reason = failure(error).reason or error.code().name
        took_s = time.monotonic() - began
        self.ended.append(Ended("bad", took_s, reason, wanted="INVALID_CALL"))
