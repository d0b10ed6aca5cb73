"""What sharing a call amounts to, in the plainest terms, beside the layer that does it.

A caller gets what its flight was sent, from the start, as far as it asks; a flight ends
when its answer does, or when nobody is left. Everything else is how that is done.
"""

import asyncio
from typing import TYPE_CHECKING

from sidecard.core.call import Mode
from sidecard.core.errors import UpstreamInterrupted, UpstreamUnavailable
from sidecard.core.event import Batch, Delta
from sidecard.core.fold import fold, unfold
from sidecard.core.reply import Reply
from sidecard.layers.coalesce import Coalesce
from tests.support.conformance import Ends
from tests.support.script import CLOSING, OPENING, a_call
from tests.support.stage import Stage, settle

if TYPE_CHECKING:
    from sidecard.core.message import Message

AHEAD = 2


class Plan:
    """What is to happen in one flight: what was sent, how it failed, and who is aboard."""

    def __init__(self, number: int, mode: Mode) -> None:
        self.number = number
        self.mode = mode
        self.sent: list[Batch] = []
        self.finished = False
        self.failed = False
        self.wanted = AHEAD
        self.aboard: list[Asker] = []

    @property
    def ended(self) -> bool:
        """Whether the answer is over, as far as it is read; a stream is, as it is asked for."""
        if self.mode is Mode.UNARY or not self.sent:
            return self.finished or self.failed
        if self.finished:
            return self.wanted >= len(self.sent)
        return self.failed and self.wanted > len(self.sent)

    def next_batch(self) -> Batch:
        """Return a batch that is like no other."""
        text = {"type": "text_delta", "text": f"{self.number}.{len(self.sent)} "}
        return (Delta(0, text),) if self.sent else (*OPENING, Delta(0, text))


class Asker:
    """A caller: takes as many batches as it is told to, and leaves when it is told to."""

    def __init__(self, coalesce: Coalesce, mode: Mode, plan: Plan) -> None:
        self.mode = mode
        self.plan = plan
        self.allowed = 0
        self.got: list[Batch] = []
        self.message: Message | None = None
        self.error: BaseException | None = None
        self.ends = Ends()
        self.replied = False
        self.left = False
        self._more = asyncio.Event()
        self.task = asyncio.ensure_future(self._run(coalesce))

    def allow(self) -> None:
        self.allowed += 1
        self._more.set()

    def leave(self) -> None:
        """Leave as callers do: in the middle of whatever they wait for."""
        self.left = True
        self.task.cancel()

    async def _run(self, coalesce: Coalesce) -> None:
        try:
            reply = await coalesce(a_call(mode=self.mode))
            self.replied = True
            reply.on_end(self.ends)
            if self.mode is Mode.UNARY:
                self.message = await reply.message()
            else:
                await self._read(reply)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # told to the test
            self.error = error

    async def _read(self, reply: Reply) -> None:
        try:
            while reply.outcome is None:
                while len(self.got) >= self.allowed:
                    self._more.clear()
                    await self._more.wait()
                self.got.append(await anext(reply))
        finally:
            await reply.aclose()

    def check(self) -> None:
        """Compare what the caller has with what it should have."""
        plan, live = self.plan, self.mode is Mode.STREAM and self.plan.mode is Mode.STREAM
        if live:
            assert self.got == plan.sent[: self.allowed]
            whole = plan.finished and len(self.got) == len(plan.sent)
            failed = plan.failed and (not plan.sent or self.allowed > len(plan.sent))
        else:
            whole, failed = plan.finished, plan.failed
        if whole and self.mode is Mode.UNARY:
            assert self.message == fold(plan.sent)
        elif whole and not live:
            assert self.got == [unfold(fold(plan.sent))][: self.allowed]
            whole = self.allowed > 0
        broke = UpstreamInterrupted if plan.sent and plan.mode is Mode.STREAM else None
        assert isinstance(self.error, broke or UpstreamUnavailable) is failed
        assert self.task.done() is (whole or failed)
        assert len(self.ends.heard) == (self.task.done() and self.replied)


class World:
    """The layer, the plans of its flights, and the callers."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.coalesce = Coalesce(self.stage, clock=self.stage.clock)
        self.plans: list[Plan] = []
        self.askers: list[Asker] = []

    @property
    def current(self) -> Plan | None:
        """The flight that can be joined."""
        plan = self.plans[-1] if self.plans else None
        return None if plan is None or plan.ended or not plan.aboard else plan

    def ask(self, mode: Mode) -> None:
        plan = self.current
        if plan is None:
            plan = Plan(len(self.plans), mode)
            self.plans.append(plan)
        asker = Asker(self.coalesce, mode, plan)
        plan.aboard.append(asker)
        self.askers.append(asker)
        if mode is Mode.UNARY:
            plan.wanted = 10**9

    def read(self, asker: Asker) -> None:
        if asker.left:
            return
        asker.allow()
        plan = asker.plan
        plan.wanted = max(plan.wanted, min(asker.allowed, len(plan.sent)) + AHEAD)

    def leave(self, asker: Asker) -> None:
        if not asker.task.done():
            asker.leave()
            asker.plan.aboard.remove(asker)

    def send(self, plan: Plan) -> None:
        if not (plan.finished or plan.failed):
            self._send(plan, plan.next_batch())

    def finish(self, plan: Plan) -> None:
        if plan.sent and not plan.failed and not plan.finished:
            plan.finished = True
            self._send(plan, CLOSING)

    def fail(self, plan: Plan) -> None:
        if not (plan.finished or plan.failed):
            plan.failed = True
            broke = plan.sent and plan.mode is Mode.STREAM
            kind = UpstreamInterrupted if broke else UpstreamUnavailable
            self.stage.acts[plan.number].fail(kind("scripted"))

    def _send(self, plan: Plan, batch: Batch) -> None:
        plan.sent.append(batch)
        self.stage.acts[plan.number].send(batch, last=plan.finished)
        for asker in plan.aboard:
            plan.wanted = max(plan.wanted, min(asker.allowed, len(plan.sent)) + AHEAD)

    async def check(self) -> None:
        """Let everything happen, and compare."""
        await settle()
        assert len(self.stage.acts) == len(self.plans)
        assert self.coalesce.flights == (self.current is not None)
        for asker in self.askers:
            if asker.left:
                assert asker.task.done()
                assert len(asker.ends.heard) == asker.replied
            else:
                asker.check()
        for plan, act in zip(self.plans, self.stage.acts, strict=True):
            if plan.mode is Mode.STREAM or not plan.ended:
                assert act.ended is ((plan.ended and bool(plan.sent)) or not plan.aboard)
            assert act.closed <= 1
