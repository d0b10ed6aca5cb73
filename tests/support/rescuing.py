"""Calls whose streams are to be continued, and what their callers hear."""

from dataclasses import replace

from sidecard.core.call import Call, Mode, Route, Target
from sidecard.core.errors import SidecardError, UpstreamInterrupted, UpstreamUnavailable
from sidecard.core.event import Continued, Event, Restarted
from sidecard.core.fold import fold
from sidecard.core.handler import Handler
from sidecard.core.message import Message
from sidecard.core.note import Note
from sidecard.layers.fallback import Fallback
from sidecard.layers.rescue import Rescue
from sidecard.server.wire.events_out import events_fields
from sidecard.v1.generation_pb2 import GenerateRequest, StreamGenerateResponse
from sidecard_client.progress import Progress
from sidecard_client.request import Question
from tests.support.clock import ManualClock
from tests.support.conformance import Ends
from tests.support.script import a_call

A, B = Target("claude-a"), Target("claude-b", max_output_tokens=500)
ROUTE = Route("default", (A, B), 1024, continue_stream=True)


def down(target: str) -> UpstreamUnavailable:
    return UpstreamUnavailable("down", target=target)


def asked(*targets: Target, **changes: object) -> Call:
    """Return a stream call to those targets that is to be continued, any field of it changed."""
    route = changes.pop("route", replace(ROUTE, targets=targets or ROUTE.targets))
    assert isinstance(route, Route)
    fields: dict[str, object] = {"route": route, "target": route.targets[0], "mode": Mode.STREAM}
    return a_call(**{**fields, **changes})


class Heard:
    """What came out of one call, and how it ended."""

    def __init__(self) -> None:
        self.reads: list[tuple[Event, ...]] = []
        self.notes: list[Note] = []
        self.ends = Ends()
        self.target = ""
        self.error: SidecardError | None = None

    @property
    def events(self) -> list[Event]:
        return [event for read in self.reads for event in read]

    @property
    def rescues(self) -> list[Continued | Restarted]:
        return [event for event in self.events if isinstance(event, Continued | Restarted)]

    @property
    def message(self) -> Message:
        return fold(self.reads)

    @property
    def seen_by_a_client(self) -> str:
        """The text that the client's own folding of the encoded events gives."""
        progress = Progress(Question(GenerateRequest(), "", "", None))
        for read in self.reads:
            progress._receive(StreamGenerateResponse(events=events_fields(read)))
        return progress.text


def rescue(next_: Handler, *notes: list[Note], clock: ManualClock | None = None) -> Rescue:
    """Return the layer around fallback, as in the stack."""
    clock = clock or ManualClock()
    fallback = Fallback(next_, clock=clock, notes=lambda _: None)
    return Rescue(fallback, clock=clock, notes=notes[0].append if notes else lambda _: None)


async def hear(next_: Handler, call: Call) -> Heard:
    """Read a call's whole answer; `next_` may be the layer itself."""
    heard = Heard()
    layer = next_ if isinstance(next_, Rescue) else rescue(next_, heard.notes)
    reply = await layer(call)
    reply.on_end(heard.ends)
    try:
        async for read in reply:
            assert read
            heard.reads.append(read)
    except UpstreamInterrupted as error:
        heard.error = error
    heard.target = reply.head.target
    return heard
