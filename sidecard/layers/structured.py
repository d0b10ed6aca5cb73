"""Structured: an answer that was asked for with a schema satisfies it, or is none.

Outside admission, so that each further question takes a permit and a budget of its own;
inside the caches, so that only what satisfies its schema is kept and shared.
A whole answer that doesn't is asked for again with what is wrong, then from the next target.
A stream is delivered as it comes: at its end is the verdict, and if that is bad, an error.
A call without a schema passes.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, NamedTuple

from sidecard.core import jsonio
from sidecard.core.call import Call, Mode
from sidecard.core.clock import Clock
from sidecard.core.errors import (
    InvalidCall,
    InvalidOutput,
    SidecardError,
    UpstreamRefused,
    Violation,
)
from sidecard.core.event import Usage
from sidecard.core.handler import Handler
from sidecard.core.message import Message
from sidecard.core.note import AskedAgain, OutputJudged
from sidecard.core.ports import NoteSink, OutputJudge
from sidecard.core.reply import Reply, Source
from sidecard.core.verdict import Verdict, invalid
from sidecard.layers.verified import Verified
from sidecard.policy.reask import Wrong, next_call, prompted
from sidecard.policy.splice import total
from sidecard.policy.structured import UNFINISHED, StructuredPolicy, begun, blames_format, unfit

_REMEMBERED: Final = 256


class Schema(NamedTuple):
    """A call's schema as text, and how long a check may take."""

    text: str
    limit_s: float


class Structured:
    """State: which targets refused which schema as a parameter. Safe to share.

    `policies` are by the route's name.
    """

    def __init__(
        self,
        next_: Handler,
        judge: OutputJudge,
        *,
        policies: Callable[[str], StructuredPolicy],
        clock: Clock,
        notes: NoteSink,
    ) -> None:
        self._next = next_
        self._judge = judge
        self._policies = policies
        self._clock = clock
        self._notes = notes
        self._refused: OrderedDict[tuple[str, int], None] = OrderedDict()

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """Return an answer that satisfies the call's schema, if it has one.

        Raises `InvalidCall` for a schema that can't be used, `InvalidOutput` when no target's
        answer satisfies it; a stream raises that at its end.
        """
        return self._next(call) if call.output_schema is None else self._structured(call)

    async def _structured(self, call: Call) -> Reply:
        policy = self._policies(call.route.name)
        schema = Schema(jsonio.dumps(call.output_schema), policy.check_s)
        if problem := await self._judge.problem(*schema, call.tenant):
            raise InvalidCall(Violation("output_schema", problem))
        reply = await self._ask(call, schema)
        if call.mode is Mode.STREAM or reply.at_hand is None:
            verified = Verified(self, call, reply, schema)
            verified.outer = Reply(reply.head, verified, self._clock)
            return verified.outer
        return await self._whole(call, reply, schema, policy.reasks)

    async def judge(self, call: Call, message: Message, schema: Schema) -> Verdict | None:
        """Return the verdict on an answer, None where the answer is still to come."""
        if message.stop_reason in UNFINISHED:
            return None
        if problem := unfit(message.stop_reason):
            return invalid(problem)
        answer = begun(call.messages) + message.text
        return await self._judge.verdict(schema.text, answer, schema.limit_s, call.tenant)

    def note(self, call: Call, target: str, verdict: str) -> None:
        """Tell what became of a call."""
        self._notes(OutputJudged(call.request_id, target, call.route.name, verdict))

    @staticmethod
    def wrong(call: Call, target: str, message: Message, verdict: Verdict) -> InvalidOutput:
        """Return the error for an answer; what the answer says is in its details alone."""
        faults = tuple([Violation(fault.path, fault.description) for fault in verdict.violations])
        told = f"the answer doesn't satisfy output_schema; violations in the details: {len(faults)}"
        error = InvalidOutput(told, raw=begun(call.messages) + message.text, violations=faults)
        error.target = target
        return error

    async def _whole(self, call: Call, reply: Reply, schema: Schema, reasks: int) -> Reply:
        """Return a whole answer that is valid, asking until there is one."""
        asked: Call = call
        used: Usage | None = None
        failed: InvalidOutput | None = None
        while True:
            message, verdict = await self._judged(asked, reply, schema)
            if verdict is None or verdict.valid:
                return await self._settled(call, reply, message, verdict, used)
            used = message.usage if used is None else total(used, message.usage)
            failed = self.wrong(call, reply.head.target, message, verdict)
            target, faults = reply.head.target, verdict.violations
            following = None
            if self._clock.now() < call.deadline and reply.head.source is Source.UPSTREAM:
                answer = Wrong(target, message.stop_reason, message.text, faults)
                following = next_call(call, asked, answer, reasks)
            if following is None:
                self.note(call, target, "failed")
                raise failed
            # Others may have joined the call meanwhile, who have more time, or less patience.
            asked = replace(following, deadline=call.deadline, priority=call.priority)
            to = asked.target.name
            self._notes(AskedAgain(call.request_id, target, to, len(faults)))
            reasks -= to == target
            try:
                reply = await self._ask(asked, schema)
            except SidecardError as error:
                self.note(call, failed.target, "failed")
                raise _with(failed, error) from error

    async def _judged(
        self, call: Call, reply: Reply, schema: Schema
    ) -> tuple[Message, Verdict | None]:
        """Return the message and its verdict; a reply that isn't valid has ended."""
        try:
            message = reply.at_hand or await reply.message()
            verdict = await self.judge(call, message, schema)
            if verdict is not None and not verdict.valid and reply.outcome is None:
                await reply.message()
        except BaseException:
            await reply.aclose()
            raise
        return message, verdict

    async def _settled(
        self,
        call: Call,
        reply: Reply,
        message: Message,
        verdict: Verdict | None,
        used: Usage | None,
    ) -> Reply:
        """Return the reply with its JSON, and with what those before it used, if there were any."""
        if reply.head.source is Source.UPSTREAM and reply.head.target != call.target.name:
            reply.amend(degraded=True)
        if verdict is not None:
            message = replace(message, output_json=verdict.output_json)
            self.note(call, reply.head.target, verdict.how.value if used is None else "reasked")
        if used is None:
            reply.revise(message)
            return reply
        # Each attempt settles what it used itself: this one has ended, and the sum is a new one's.
        if reply.outcome is None:
            await reply.message()
        message = replace(message, usage=total(used, message.usage))
        return Reply.whole(reply.head, message, self._clock)

    async def _ask(self, call: Call, schema: Schema) -> Reply:
        """Ask; a target that refuses the schema as a parameter gets it in the prompt instead."""
        key = hash(schema.text)  # Schemas are long; two that share it are both told in the prompt.
        known = [t.name for t in call.route.targets if (t.name, key) in self._refused]
        asked = prompted(call, known) if known else call
        while True:
            try:
                return await self._next(asked)
            except UpstreamRefused as error:
                again = prompted(asked, [error.target])
                if again.route == asked.route or not blames_format(error.message):
                    raise
                if asked.attempts_left < 1:
                    raise
                self._remember(error.target, key)
                asked = again

    def _remember(self, target: str, schema: int) -> None:
        self._refused[target, schema] = None
        if len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)

    def __repr__(self) -> str:
        return f"<Structured, {len(self._refused)} schemas refused as a parameter, {self._judge!r}>"


def _with(failed: InvalidOutput, error: SidecardError) -> InvalidOutput:
    """Return the error of the answer that there was, with why there is no better one."""
    told = f"{failed.message}; and asking again failed: {error.reason}"
    both = InvalidOutput(told, raw=failed.raw, violations=failed.violations)
    both.target = failed.target
    return both
