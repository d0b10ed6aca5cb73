"""Structured output, around a model that answers as it is told."""

from sidecard.core.call import Call, Mode, Route, Target
from sidecard.core.handler import Handler
from sidecard.core.message import Message
from sidecard.core.note import Note, OutputJudged
from sidecard.core.reply import Head, Reply, Source
from sidecard.layers.structured import Structured
from sidecard.policy.structured import StructuredPolicy
from tests.support.clock import ManualClock
from tests.support.conformance import Ends
from tests.support.judging import HereJudge
from tests.support.script import a_call, a_message

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FIRST, SECOND = Target("claude-one"), Target("claude-two")
ROUTE = Route("default", (FIRST, SECOND), 1024)
GOOD, BAD = '{"a":1}', '{"a":"x"}'
Said = str | BaseException | Message


def asking(mode: Mode = Mode.UNARY, **changes: object) -> Call:
    fields: dict[str, object] = {"route": ROUTE, "target": FIRST, "output_schema": SCHEMA}
    return a_call(mode=mode, **(fields | changes))


def saying(text: str, stop_reason: str = "end_turn") -> Message:
    return a_message(content=({"type": "text", "text": text},), stop_reason=stop_reason)


class Model:
    """Answers each call with the next of what it is given, as the first target of the call."""

    def __init__(self, *says: Said, source: Source = Source.UPSTREAM) -> None:
        self._says = list(says)
        self._source = source
        self.calls: list[Call] = []
        self.ends = Ends()
        self.clock = ManualClock()

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        said = self._says.pop(0)
        call.trail.begin(call.target.name, 0.0)
        if isinstance(said, BaseException):
            raise said
        message = said if isinstance(said, Message) else saying(said)
        reply = Reply.whole(Head(self._source, call.route.targets[0].name), message, self.clock)
        reply.on_end(self.ends)
        return reply


class Whole:
    """Has the answers to unary calls at hand, as the upstream's handler does."""

    def __init__(self, next_: Handler) -> None:
        self._next = next_

    async def __call__(self, call: Call) -> Reply:
        reply = await self._next(call)
        if call.mode is Mode.STREAM:
            return reply
        return Reply.whole(reply.head, await reply.message(), ManualClock())


class World:
    """The layer around a model, and all that it told."""

    def __init__(self, next_: Handler, reasks: int = 1) -> None:
        self.notes: list[Note] = []
        self.judge = HereJudge()
        self.layer = Structured(
            next_,
            self.judge,
            policies=lambda _: StructuredPolicy(reasks=reasks),
            clock=ManualClock(),
            notes=self.notes.append,
        )

    @property
    def verdicts(self) -> list[str]:
        return [note.verdict for note in self.notes if isinstance(note, OutputJudged)]


def texts(call: Call) -> list[tuple[str, str]]:
    """Return the turns of a call: who speaks, and what."""
    return [(turn["role"], turn["content"][0]["text"]) for turn in call.messages]
