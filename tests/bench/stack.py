"""The stack's layers alone, in this process: over a handler that answers out of hand.

The layers are those of `build_stack`, in its order and with the state that the daemon gives them;
only the upstream, the caller's side and what is logged are left out.
The floor is that handler without any layer.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic, process_time_ns
from typing import Any, Final, TypeAlias

from sidecard.app import build_stack
from sidecard.config.schema import Config
from sidecard.core.call import Call, Mode, Route
from sidecard.core.clock import SystemClock
from sidecard.core.event import (
    Batch,
    BlockStarted,
    BlockStopped,
    Delta,
    Finished,
    Started,
    Usage,
)
from sidecard.core.handler import Handler
from sidecard.core.reply import Head, Reply, Source
from sidecard.state import State
from sidecard.upstream.client import Client
from sidecard.upstream.handler import Upstream
from tests.bench.payload import BURST_DELTAS, DELTA, MODEL
from tests.bench.questions import CONTINUING, MESSAGE, ROUTE, USAGE, a_call, allowances

Once: TypeAlias = Callable[[Handler], Awaitable[None]]
Pair: TypeAlias = tuple[float, float]
"""Microseconds of CPU: with the layers, and without."""

_TURNS: Final = 10
_CLOCK: Final = SystemClock()
_PLENTY: Final = 10**9
_LIMITS: Final = {
    "requests_per_minute": _PLENTY,
    "input_tokens_per_minute": _PLENTY,
    "output_tokens_per_minute": _PLENTY,
}
# All ask the same, and every one is to be asked.
_UNCACHED: Final = {"enabled": False, "coalesce": False}
_PLAIN: Final[dict[str, Any]] = {
    "admission": {"in_flight": 4_096},
    "limits": _LIMITS,
    "cache": _UNCACHED,
}
_EVERYTHING: Final[dict[str, Any]] = {
    "admission": {"in_flight": 4_096, "adaptive": True, "adaptive_min": 4_096},
    "limits": _LIMITS,
    "hedge": {"enabled": True},
    "cache": _UNCACHED,
}
_STREAM: Final[tuple[Batch, ...]] = (
    (
        Started("msg_1", MODEL),
        Usage(input_tokens=USAGE.input_tokens),
        BlockStarted(0, {"type": "text", "text": ""}),
    ),
    *[(Delta(0, {"type": "text_delta", "text": DELTA}),) for _ in range(BURST_DELTAS)],
    (BlockStopped(0), USAGE, Finished("end_turn")),
)


class Answers:
    """The innermost handler: one attempt, answered at once, or when it is let go."""

    def __init__(self) -> None:
        self.waits = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._limits = allowances()

    async def __call__(self, call: Call) -> Reply:
        attempt = call.trail.begin(call.target.name, monotonic())
        if self.waits:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        attempt.duration_s = monotonic() - attempt.began
        target = call.target.name
        head = Head(Source.UPSTREAM, target, rate_limits=self._limits, attempt=attempt)
        if call.mode is Mode.UNARY:
            return Reply.whole(head, MESSAGE, _CLOCK)
        attempt.first_event_s = attempt.duration_s
        return Reply(head, _Stream(), _CLOCK)

    def let_go(self) -> None:
        """Let the call that waits longest have its answer."""
        self._waiting.popleft().set_result(None)


class _Stream:
    """The `EventStream` of an answer whose deltas come one by one, with no wait between."""

    __slots__ = ("_batches",)

    def __init__(self) -> None:
        self._batches = iter(_STREAM)

    async def __anext__(self) -> Batch:
        return next(self._batches)

    async def aclose(self) -> None:
        pass


def layered(innermost: Handler, settings: dict[str, Any] | None = None) -> Handler:
    """Return the daemon's stack with another innermost handler than the upstream."""
    state = State(Config(**(settings or _PLAIN)), notes=_hears, clock=_CLOCK)
    client = Client(None, clock=_CLOCK)  # type: ignore[arg-type]  # nothing is sent
    stack = build_stack(client, state, sink=_sees, notes=_hears).handler
    layer: Any = stack
    while not isinstance(layer._next, Upstream):
        layer = layer._next
    layer._next = innermost
    return stack


async def unary(calls: int) -> Pair:
    """Return what one unary call costs."""
    return await _compared(_whole, calls, None)


async def everything(calls: int) -> Pair:
    """Return what one unary call costs when hedging and the adaptive limit are on as well."""
    return await _compared(_whole, calls, _EVERYTHING)


async def stream(calls: int) -> Pair:
    """Return what one delta of a stream costs, the call's share included."""
    return _by_delta(await _compared(_reading(ROUTE), calls, None))


async def continued(calls: int) -> Pair:
    """Return the same for a stream that would go on if it broke."""
    return _by_delta(await _compared(_reading(CONTINUING), calls, None))


async def in_flight(calls: int, level: int) -> Pair:
    """Return what a call costs while so many are in flight: as one is answered another starts.

    Their tasks and the event loop's turns are in both numbers.
    """
    with_layers, without = Answers(), Answers()
    return (
        await _steady(layered(with_layers), with_layers, calls, level),
        await _steady(without, without, calls, level),
    )


async def _steady(handler: Handler, answers: Answers, calls: int, level: int) -> float:
    answers.waits = True
    tasks: set[asyncio.Task[None]] = set()

    def start() -> None:
        task = asyncio.ensure_future(_whole(handler))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def turn() -> None:
        answers.let_go()
        start()
        await asyncio.sleep(0)

    for _ in range(level):
        start()
    for _ in range(1 + level // 4):
        await asyncio.sleep(0)
        await turn()
    began = process_time_ns()
    for _ in range(calls):
        await turn()
    spent_us = (process_time_ns() - began) / calls / 1e3
    for _ in range(level):
        answers.let_go()
    await asyncio.gather(*tasks)
    return spent_us


async def _compared(once: Once, calls: int, settings: dict[str, Any] | None) -> Pair:
    """Return what once costs, alternating, after some that open the windows and fill the caches."""
    answers = Answers()
    stack, each = layered(answers, settings), max(1, calls // _TURNS)
    handlers: tuple[Handler, Handler] = (stack, answers)
    spent = [0, 0]
    for turn in range(_TURNS + 1):
        for place, handler in enumerate(handlers):
            began = process_time_ns()
            for _ in range(each):
                await once(handler)
            if turn:
                spent[place] += process_time_ns() - began
    with_layers, without = (ns / each / _TURNS / 1e3 for ns in spent)
    return with_layers, without


async def _whole(handler: Handler) -> None:
    reply = await handler(a_call())
    await reply.message()


def _reading(route: Route) -> Once:
    async def read(handler: Handler) -> None:
        reply = await handler(a_call(Mode.STREAM, route))
        async for _ in reply:
            pass

    return read


def _by_delta(pair: Pair) -> Pair:
    return pair[0] / BURST_DELTAS, pair[1] / BURST_DELTAS


def _sees(*_: object, **__: object) -> None:
    pass


def _hears(_: object) -> None:
    pass
