"""One request and the good answer to it, in the form that faults are made of."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject
from sidecard.simulator.answers import Answer, answer, ends_with_assistant
from sidecard.simulator.pace import Pace
from sidecard.simulator.plan import Head, Piece, Plan
from sidecard.simulator.prompt import Charge, Prompt
from sidecard.simulator.sse import Spoken, speak

STREAM: Head = Head("text/event-stream; charset=utf-8", headers={"cache-control": "no-cache"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a fault needs to know. `answer` is None for a token count, whose `body` is all.

    `prefilled`: the request ends with the assistant's own turn; `formatted`: it has a schema.
    """

    request_id: str
    pace: Pace
    body: JsonObject
    answer: Answer | None = None
    stream: bool = False
    prefilled: bool = False
    formatted: bool = False

    @classmethod
    def message(
        cls,
        request_id: str,
        request: JsonObject,
        pace: Pace,
        prompt: Prompt,
        charge: Charge,
        *,
        said: JsonObject,
    ) -> "Exchange":
        """Answer a checked request for a message; `said` is what its usage is to say."""
        whole = answer(request, prompt, charge.told(said), filler=pace.filler())
        whole = replace(whole, said=said) if said else whole
        stream = request.get("stream") is True
        prefilled = ends_with_assistant(request)
        formatted = bool((request.get("output_config") or {}).get("format"))
        return cls(
            request_id,
            pace,
            whole.message(),
            whole,
            stream=stream,
            prefilled=prefilled,
            formatted=formatted,
        )

    def saying(self, text: str, stop_reason: str) -> "Exchange":
        """Return the same with an answer of that text."""
        if self.answer is None:
            return self
        block = {"type": "text", "text": text}
        answer = replace(self.answer, content=(block,), stop_reason=stop_reason, stop_sequence=None)
        return replace(self, answer=answer, body=answer.message())

    @property
    def output_tokens(self) -> int:
        """What the whole answer bills."""
        return self.answer.output_tokens if self.answer else 0

    def spoken(self) -> list[Spoken]:
        """Return the stream's events."""
        return speak(self.answer, self.pace) if self.answer else []

    def data(self) -> bytes:
        """Return the unary answer's body."""
        return jsonio.dumps(self.body).encode()

    def wait_s(self) -> float:
        """Return how long a unary answer takes: as long as its stream would."""
        slow = self.pace.first_event_s or self.pace.delta_s
        return sum(said.wait_s for said in self.spoken()) if slow else 0.0

    def pieces(self) -> list[Piece]:
        """Return the good answer's body: a piece for each event, or one for the whole."""
        if self.stream:
            return pieces_of(self.spoken())
        return [Piece(self.data(), tokens=self.output_tokens)]

    def plan(self) -> Plan:
        """Return the plan for the good answer."""
        if self.stream:
            return Plan(STREAM, self.pieces())
        pieces = self.pieces()
        return Plan(self.head(len(pieces[0].data)), pieces, wait_s=self.wait_s())

    def head(self, length: int | None = None) -> Head:
        """Return the good answer's head."""
        return STREAM if self.stream else Head("application/json", length=length)


def pieces_of(spoken: Iterable[Spoken]) -> list[Piece]:
    """Return the events' bytes."""
    return [Piece(said.encode(), said.wait_s, said.tokens) for said in spoken]
