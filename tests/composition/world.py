"""The whole stack between an upstream that does anything and callers who do, too."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sidecard.core.call import Call, LastResort, Mode, Priority, Route, Target
from sidecard.core.clock import sleep_until
from sidecard.core.errors import (
    UpstreamInterrupted,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.event import (
    Batch,
    BlockStarted,
    BlockStopped,
    Delta,
    Finished,
    Restarted,
    Started,
    Usage,
)
from sidecard.core.fold import fold
from sidecard.core.reply import Head, Reply, Source
from sidecard.policy.admission import AdmissionPolicy
from sidecard.policy.budget import Beyond, Budget, Unit
from sidecard.policy.budget_window import Per, Rolling
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.keyed import Keyed
from sidecard.policy.ledger import Ledger
from tests.composition.layers import STACK, Parts, Sent, stacked
from tests.support.clock import ManualClock
from tests.support.script import Hang, ScriptedStream, a_call

A, B = Target("claude-a"), Target("claude-b")
BUDGETS: Final = (
    Budget("bites", Unit.DOLLARS, 9_000, Rolling(Per.MINUTE), beyond=Beyond.STEP_DOWN),
    Budget("counts", Unit.CALLS, 1, Rolling(Per.MONTH), beyond=Beyond.WARN),
)
"""An attempt costs 1,000; one of them lets nine be made in a minute, the other counts them all."""
SORRY: Final = "not now"
SETTLED: Final = 30
"""Turns of the event loop after which nobody has anything to do before the clock turns."""
ROUTES: Final = (
    Route("static", (A, B), 1024, 3, frozenset({LastResort.STATIC}), SORRY),
    Route("continued", (B, A), 1024, 4, continue_stream=True),
)


def _final(target: str) -> UpstreamUnavailable:
    error = UpstreamUnavailable("down for long", target=target)
    error.should_retry = False
    return error


FAULTS: Final[dict[str, Callable[[str], Exception]]] = {
    "throttled": lambda target: UpstreamThrottled("429", target=target),
    "closed": lambda target: UpstreamThrottled("429", retry_after_s=2.0, target=target),
    "closed for long": lambda target: UpstreamThrottled("429", retry_after_s=30.0, target=target),
    "unavailable": lambda target: UpstreamUnavailable("down", target=target),
    "final": _final,
    "refused": lambda target: UpstreamRefused("no", target=target),
    "misconfigured": lambda target: UpstreamMisconfigured("who?", target=target),
    "bug": lambda target: ValueError(f"a bug at {target}"),
}
_LAST: Final = (BlockStopped(0), Usage(7, 3), Finished("end_turn"))
ENDS: Final[dict[str, tuple[Batch | BaseException | Hang, ...]]] = {
    "whole": (_LAST,),
    "wrong": (_LAST,),
    "breaks": (UpstreamInterrupted("broke"),),
    "stops": (),
    "stalls": (Hang(),),
}


class Act(NamedTuple):
    """What the upstream does with one attempt: after a while, one of `FAULTS`, `ENDS` or hang.

    What is wrong is so for a call with a schema, and whole for any other.
    """

    after_s: float = 0.0
    what: str = "whole"


class Asked(NamedTuple):
    """What a caller wants, and how many batches it reads, all of them with -1."""

    route: int
    tenant: str = "default"
    mode: Mode = Mode.STREAM
    priority: Priority = Priority.INTERACTIVE
    within_s: float = 20.0
    pause_s: float = 0.0
    reads: int = -1
    schema: bool = False


class Turn(NamedTuple):
    """Time passes: evenly, or with nobody acting meanwhile, as when the machine stands still.

    At its end the event loop turns `passes` times: after a few, everybody is in the middle of it.
    """

    seconds: float
    lags: bool = False
    passes: int = SETTLED


class Leave(NamedTuple):
    """One of those who asked leaves, if there are so many."""

    who: int


class Upstream:
    """Does one act after the other, and then answers.

    `sent` counts the attempts of each call, `late` are those that came at its deadline or later
    though the clock went evenly; `whole` are the texts that it wrote to their end, and `most`
    is how many calls were busy here at one moment.
    """

    def __init__(self, acts: Sequence[Act], clock: ManualClock) -> None:
        self._acts = list(acts)
        self._clock = clock
        self.sent: Counter[str] = Counter()
        self.lagging = False
        self.late: list[str] = []
        self.whole: set[str] = set()
        self.streams: list[ScriptedStream] = []
        self.most = 0
        self._now: Counter[str] = Counter()

    async def __call__(self, call: Call) -> Reply:
        name = call.request_id
        self.sent[name] += 1
        if self._clock.now() >= call.deadline and not self.lagging:
            self.late.append(name)
        self._now[name] += 1
        self.most = max(self.most, sum(count > 0 for count in self._now.values()))
        try:
            reply = await self._answer(call)
        except BaseException:
            self._now[name] -= 1
            raise
        reply.on_end(lambda _: self._now.subtract([name]))
        return reply

    async def _answer(self, call: Call) -> Reply:
        *_, attempt = call.trail
        target = call.target.name
        act = self._acts.pop(0) if self._acts else Act()
        await sleep_until(self._clock, self._clock.now() + act.after_s)
        await asyncio.sleep(0)
        if act.what == "hang":
            await asyncio.Event().wait()
        if act.what in FAULTS:
            raise FAULTS[act.what](target)
        if call.mode is Mode.STREAM:
            attempt.first_event_s = self._clock.now() - attempt.began
        text = text_of(call, attempt.number)
        wrong = act.what == "wrong" and call.output_schema is not None
        text = f"{{{text}: 0}}" if wrong else text
        if act.what in ("whole", "wrong") and not wrong:
            self.whole.add(text)
        if act.what in ("whole", "wrong") and call.mode is Mode.UNARY:
            message = fold([*_opening(text), _LAST])
            return Reply.whole(Head(Source.UPSTREAM, target), message, self._clock)
        stream = ScriptedStream([*_opening(text), *ENDS[act.what]])
        self.streams.append(stream)
        return Reply(Head(Source.UPSTREAM, target), stream, self._clock)


def text_of(call: Call, number: int) -> str:
    """Return what the upstream writes to one attempt, and to no other."""
    text = f"<{call.request_id}, {number}>"
    return text if call.output_schema is None else json.dumps(text)


def _opening(text: str) -> tuple[Batch, Batch]:
    started = Started("msg_1", "claude"), Usage(7), BlockStarted(0, {"type": "text", "text": ""})
    head, tail = text[:2], text[2:]
    return (
        (*started, Delta(0, {"type": "text_delta", "text": head})),
        (Delta(0, {"type": "text_delta", "text": tail}),),
    )


class Caller:
    """Asks once, reads, and keeps what it was told; `idle` while it could read and doesn't."""

    def __init__(self, world: "World", call: Call, asked: Asked) -> None:
        self.call = call
        self.batches: list[Batch] = []
        self.numbers: list[int] = []
        self.source: Source | None = None
        self.idle = False
        self._world = world
        self._asked = asked
        self.task = asyncio.ensure_future(self._run())
        timer = world.clock.call_at(call.deadline, self.task.cancel)
        self.task.add_done_callback(lambda _: timer.cancel())
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def finished(self) -> bool:
        """Whether it was told that its answer is whole."""
        return bool(self.batches) and isinstance(self.batches[-1][-1], Finished)

    @property
    def expected(self) -> str:
        """The text that it has to have been told: of the attempts that make up its answer."""
        if self.source is Source.STATIC:
            return SORRY
        return "".join([text_of(self.call, number) for number in self.numbers])

    async def _run(self) -> None:
        clock = self._world.clock
        reply = await self._world.stack(self.call)
        self.source = reply.head.source
        try:
            self.idle = True
            await sleep_until(clock, clock.now() + self._asked.pause_s)
            self.idle = False
            while len(self.batches) != self._asked.reads and not self.finished:
                self._read(reply, await anext(reply))
        finally:
            await reply.aclose()

    def _read(self, reply: Reply, batch: Batch) -> None:
        self.batches.append(batch)
        attempt = reply.head.attempt
        if any(isinstance(event, Restarted) for event in batch):
            self.numbers.clear()
        if attempt is not None and attempt.number not in self.numbers:
            self.numbers.append(attempt.number)


class World:
    """All layers over one upstream, one clock, and everybody who asked."""

    def __init__(self, acts: Sequence[Act]) -> None:
        self.clock = ManualClock()
        self.upstream = Upstream(acts, self.clock)
        self.parts = Parts(self.clock, slow_s=4.0, slow_rate=1.0)
        self.parts.places = AdmissionPolicy(in_flight=3, queue=2)
        self.parts.ledger = Ledger(BUDGETS)
        self.parts.gates = Keyed(lambda _: Gate(LimitsPolicy(4, 1_000_000, 1_000_000)))
        self.stack, self.held = stacked(Sent(self.upstream, self.clock), self.parts, *STACK)
        self.callers: list[Caller] = []

    def ask(self, asked: Asked) -> None:
        """Have somebody ask, who leaves at the deadline as the edge does."""
        route = ROUTES[asked.route]
        name = f"req-{len(self.callers)}"
        call = a_call(
            request_id=name,
            messages=({"role": "user", "content": name},),  # Each asks for itself.
            tenant=asked.tenant,
            route=route,
            target=route.targets[0],
            mode=asked.mode,
            priority=asked.priority,
            deadline=self.clock.now() + asked.within_s,
            output_schema={"type": "string"} if asked.schema else None,
        )
        self.callers.append(Caller(self, call, asked))

    def leave(self, step: Leave) -> None:
        if step.who < len(self.callers):
            self.callers[step.who].task.cancel()

    async def turn(self, step: Turn) -> None:
        """Turn the clock from timer to timer, or in one go, and have everybody act at each stop."""
        await self.settle()
        end = self.clock.now() + step.seconds
        while not step.lags and (timer := self.clock.next_timer) is not None and timer <= end:
            self.clock.advance(max(timer - self.clock.now(), 0.0))
            await self.settle()
        self.upstream.lagging = step.lags
        self.clock.advance(end - self.clock.now())
        await _pass(step.passes)

    async def settle(self) -> None:
        """Let everybody go as far as they can at this moment; who is past the deadline is gone."""
        await _pass(SETTLED)
        self.upstream.lagging = False
        now = self.clock.now()
        overdue = [c.call for c in self.callers if not c.task.done() and now >= c.call.deadline]
        assert overdue == []

    async def end(self) -> None:
        """Turn the clock until everybody's deadline has passed."""
        now = self.clock.now()
        last = max([now, *[caller.call.deadline for caller in self.callers]])
        await self.turn(Turn(last - now + 1.0))
        await self.settle()


async def _pass(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)
