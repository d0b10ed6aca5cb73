"""The innermost handler: one call of it is one attempt at one target.

It returns when the first content event is in hand, and for a unary call when the whole message is:
whatever goes wrong before is raised, and an outer layer may try again.
Answers are streamed from the upstream, also for unary calls that may get long,
so that the first-event and idle timeouts see a dead upstream long before the deadline does,
and so that an abandoned call knows what it has used.
A short unary answer is asked for in one piece: measured, that saves a quarter of a call's CPU.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from sidecard.core.call import Call, Mode
from sidecard.core.clock import Clock
from sidecard.core.errors import SidecardError, UpstreamInterrupted, UpstreamUnavailable
from sidecard.core.event import Finished, Usage
from sidecard.core.fold import Folder
from sidecard.core.message import Message
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Head, Reply, Source
from sidecard.core.trail import Attempt
from sidecard.upstream import classify
from sidecard.upstream.answer import AnswerStream
from sidecard.upstream.client import Client, read_at_most
from sidecard.upstream.transport import NONE, Response, TransportFault
from sidecard.upstream.wire.failure import WireFailure
from sidecard.upstream.wire.message import parse_message
from sidecard.upstream.wire.rate_limits import rate_limits_of
from sidecard.upstream.wire.request import request_body

_PATH: Final = "/v1/messages"
_LEFT: Final = "ABANDONED"
"""The error of an attempt that nobody waited for any more: left, or past its deadline."""

_TICKS_S: Final = 0.01
"""More than timers are early or late."""

CostOf = Callable[[str, Usage], int | None]


def _unpriced(_target: str, _usage: Usage) -> None:
    """Return that no price is known."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how large an upstream answer may get: seconds and bytes.

    A unary answer of at most `unstreamed_max_tokens` is asked for in one piece;
    then it has `first_event_s + idle_s` to come whole, as nothing is heard of it before.
    """

    first_event_s: float
    idle_s: float
    max_answer_bytes: int
    unstreamed_max_tokens: int = 0


class Upstream:
    """The stack's last handler: everything behind it is somebody else's machine.

    State: none but the client's connections. Safe to share.
    `cost_of` gives the price of a target's whole answer.
    """

    def __init__(
        self,
        client: Client,
        *,
        limits_of: Callable[[str], Limits],
        clock: Clock,
        cost_of: CostOf = _unpriced,
    ) -> None:
        self._client = client
        self._limits_of = limits_of
        self._cost_of = cost_of
        self._clock = clock

    async def __call__(self, call: Call) -> Reply:
        """Send `call` to its target; raises as long as nothing was shown.

        That is an `UpstreamError`, or `Overloaded` where this machine couldn't send it.
        """
        attempt = call.trail.begin(call.target.name, self._clock.now())
        try:
            head, answer = await self._open(call, attempt)
            if isinstance(answer, AnswerStream) and call.mode is Mode.UNARY:
                answer = await _fold(answer)
        except BaseException as error:
            # Whoever leaves before the answer owes what it used all the same.
            attempt.usage = getattr(error, "usage", None)
            attempt.error = error.reason if isinstance(error, SidecardError) else _LEFT
            attempt.cost_nano_usd = 0 if classify.is_free(error) else None
            raise
        finally:
            attempt.duration_s = self._clock.now() - attempt.began
        if isinstance(answer, Message):
            reply = Reply.whole(head, answer, self._clock)
        else:
            reply = Reply(head, answer, self._clock)
        reply.on_end(partial(self._settle, attempt, answer))
        return reply

    async def _open(self, call: Call, attempt: Attempt) -> tuple[Head, AnswerStream | Message]:
        """Return with the first content in hand, or all of it, within the timeout for that."""
        target = call.target.name
        limits = self._limits_of(target)
        stream = (
            call.mode is Mode.STREAM or call.parameters["max_tokens"] > limits.unstreamed_max_tokens
        )
        limit_s = limits.first_event_s if stream else limits.first_event_s + limits.idle_s
        # Of two timers that are due together the deadline's is to be first, and to be told.
        together = call.deadline - self._clock.now() <= limit_s
        try:
            async with asyncio.timeout(limit_s + _TICKS_S if together else limit_s):
                body = request_body(call, stream=stream)
                headers = _headers(call, attempt)
                response = await self._client.post(_PATH, body, headers, target=target)
                answer = await self._first(response, target, limits)
        except TimeoutError as timeout:
            what = "content" if stream else "whole answer"
            msg = f"no {what} within {limit_s:g} s (see timeouts.first_event_s)"
            error = UpstreamUnavailable(msg, target=target)
            # A timeout is a cancellation first, and that knows what the stream had used.
            # (Its context; up to Python 3.11.4 it was no cause.)
            error.usage = getattr(timeout.__context__, "usage", None)
            raise error from None
        if isinstance(answer, AnswerStream):
            attempt.first_event_s = self._clock.now() - attempt.began
        told = response.headers
        head = Head(
            Source.UPSTREAM,
            target,
            upstream_request_id=told.get("request-id", ""),
            rate_limits=rate_limits_of(told, self._clock.wall()),
            attempt=attempt,
        )
        return head, answer

    async def _first(
        self, response: Response, target: str, limits: Limits
    ) -> AnswerStream | Message:
        """Return a stream that holds its first content, or the message if it came unstreamed."""
        try:
            if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
                return await self._unstreamed(response, target, limits.max_answer_bytes)
            stream = AnswerStream(
                response,
                target=target,
                idle_s=limits.idle_s,
                max_answer_bytes=limits.max_answer_bytes,
            )
            await stream.await_content()
        except BaseException:
            await response.aclose()
            raise
        return stream

    async def _unstreamed(self, response: Response, target: str, limit: int) -> Message:
        """Read an answer of at most `limit` bytes that comes in one piece, asked for so or not."""
        try:
            content = await read_at_most(response, limit)
            if len(content) > limit:
                msg = "the answer is larger than upstream.max_answer_bytes allows"
                raise UpstreamInterrupted(msg, target=target)
            message = parse_message(content)
        except TransportFault as fault:
            raise classify.from_fault(fault, target=target) from fault
        except WireFailure as failure:
            raise classify.from_wire(failure, target=target) from failure
        await response.aclose()
        return message

    def _settle(self, attempt: Attempt, answer: AnswerStream | Message, outcome: Outcome) -> None:
        """Note what a committed attempt used, read or not, and that it broke if it did.

        What was reported of an answer that isn't whole is less than what it cost.
        """
        attempt.usage = outcome.usage or answer.usage
        if outcome.ending is Ending.FAILED:
            attempt.error = getattr(outcome.error, "reason", _LEFT)
        whole = isinstance(answer, Message) or outcome.ending is Ending.COMPLETED
        if whole and attempt.usage is not None:
            attempt.cost_nano_usd = self._cost_of(attempt.target, attempt.usage)


def _headers(call: Call, attempt: Attempt) -> Mapping[str, str]:
    trace = call.trail.trace
    return NONE if trace is None else trace.headers(attempt.span_id)


async def _fold(stream: AnswerStream) -> Message:
    """Read a stream to its end, still before the commit, so that its failures can be retried."""
    folder = Folder()
    try:
        while True:
            batch = await stream.read()
            folder.add(batch)
            if type(batch[-1]) is Finished:
                return folder.message()
    finally:
        await stream.aclose()
