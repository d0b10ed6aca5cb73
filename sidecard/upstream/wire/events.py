"""From the bytes of a streamed answer to the events of `sidecard.core.event`.

Types of events that this version doesn't know are skipped, as the API's documentation asks;
blocks and deltas of unknown types are passed on as they are.
What breaks the stream's own structure is a failure: to guess would be to make up an answer.
"""

from typing import Final

from sidecard.core import jsonio
from sidecard.core.event import (
    Batch,
    BlockStarted,
    BlockStopped,
    Delta,
    Event,
    Finished,
    Started,
)
from sidecard.core.jsonio import JsonObject
from sidecard.upstream.wire.failure import WireFailure, malformed, reported
from sidecard.upstream.wire.message import extra_of, text_of
from sidecard.upstream.wire.sse import SseDecoder
from sidecard.upstream.wire.usage import merged, usage_of

_STOP_FIELDS: Final = frozenset({"stop_reason", "stop_sequence"})
_DELTA_FIELDS: Final = frozenset({"type", "delta", "usage"})
"""The fields of a `message_delta` of which none belongs to the message as it is."""

_MAX_BLOCKS: Final = 2**31
"""The contract's index is an int32."""

# Delta type → the field that has to be there, and be text.
_TEXT_DELTAS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


class EventParser:
    """Parses one stream. `failure` is set where it broke, `finished` after its proper end."""

    __slots__ = ("_open", "_seen", "_sse", "_stop", "_usage", "failure", "finished")

    def __init__(self) -> None:
        self.failure: WireFailure | None = None
        self.finished = False
        self._sse = SseDecoder()
        self._seen: set[int] | None = None
        self._open: set[int] = set()
        self._usage: JsonObject = {}
        self._stop: JsonObject = {}

    @property
    def stopping(self) -> bool:
        """Whether the answer's stop reason has come: of its content nothing is missing."""
        return "stop_reason" in self._stop

    def feed(self, data: bytes) -> Batch:
        """Return the events that `data` completes, which may be none.

        After a failure or the end, nothing more comes; what came before a failure is returned.
        """
        if self.finished or self.failure is not None:
            return ()
        events: list[Event] = []
        try:
            for record in self._sse.feed(data):
                event = _loaded(record)
                if event["type"] == "content_block_delta":
                    events.append(self._delta(event))
                else:
                    self._take(event, events)
                    if self.finished:
                        break
        except WireFailure as failure:
            self.failure = failure.with_traceback(None)
        return tuple(events)

    def _take(self, event: JsonObject, events: list[Event]) -> None:
        match event["type"]:
            case "content_block_start":
                self._block_start(event, events)
            case "content_block_stop":
                self._block_stop(event, events)
            case "message_start":
                self._message_start(event, events)
            case "message_delta":
                self._message_delta(event, events)
            case "message_stop":
                self._message_stop(events)
            case "error":
                raise reported(event)

    def _delta(self, event: JsonObject) -> Delta:
        index, delta = event.get("index"), event.get("delta")
        if type(index) is not int or index not in self._open or type(delta) is not dict:
            raise malformed("a delta belongs to no open content block")
        kind = delta.get("type")
        field = _TEXT_DELTAS.get(kind) if type(kind) is str else "type"
        if field is None and not jsonio.writable(delta):
            raise malformed("a number in a delta is beyond a double")
        if field is not None and type(delta.get(field)) is not str:
            raise malformed("a delta lacks its text")
        return Delta(index, delta)

    def _message_start(self, event: JsonObject, events: list[Event]) -> None:
        message = event.get("message")
        if self._seen is not None or not isinstance(message, dict):
            raise malformed("message_start is out of order, or without a message")
        content = message.get("content")
        if not isinstance(content, list | None):
            raise malformed("message_start has content that is no list")
        self._seen = set()
        events.append(Started(text_of(message, "id"), text_of(message, "model"), extra_of(message)))
        self._usage = merged({}, message.get("usage"))
        events.append(usage_of(self._usage))
        for index, block in enumerate(content or ()):
            self._block_start({"index": index, "content_block": block}, events)
            self._block_stop({"index": index}, events)

    def _block_start(self, event: JsonObject, events: list[Event]) -> None:
        index, block = event.get("index"), event.get("content_block")
        if self._seen is None or type(index) is not int or index in self._seen:
            raise malformed("a content block starts out of order")
        if not 0 <= index < _MAX_BLOCKS:
            raise malformed("a content block's index is out of bounds")
        if not isinstance(block, dict):
            raise malformed("a content block is no object")
        if not jsonio.writable(block):
            raise malformed("a number in a content block is beyond a double")
        self._seen.add(index)
        self._open.add(index)
        events.append(BlockStarted(index, block))

    def _block_stop(self, event: JsonObject, events: list[Event]) -> None:
        index = event.get("index")
        if type(index) is not int or index not in self._open:
            raise malformed("a content block stops that isn't open")
        self._open.remove(index)
        events.append(BlockStopped(index))

    def _message_delta(self, event: JsonObject, events: list[Event]) -> None:
        delta = event.get("delta")
        if self._seen is None or not isinstance(delta, dict):
            raise malformed("message_delta is out of order, or without a delta")
        beside = {key: value for key, value in event.items() if key not in _DELTA_FIELDS}
        told = {**beside, **delta}
        self._stop = {**self._stop, **{k: v for k, v in told.items() if v is not None}}
        if event.get("usage") is not None:
            self._usage = merged(self._usage, event["usage"])
            events.append(usage_of(self._usage))

    def _message_stop(self, events: list[Event]) -> None:
        reason = self._stop.get("stop_reason")
        sequence = self._stop.get("stop_sequence")
        if self._open or not isinstance(reason, str) or not isinstance(sequence, str | None):
            raise malformed("the answer stops with an open block, or without a stop_reason")
        extra = {key: value for key, value in self._stop.items() if key not in _STOP_FIELDS}
        events.append(Finished(reason, sequence, extra))
        self.finished = True


def _loaded(record: bytes) -> JsonObject:
    """Return the event in a record; raises `WireFailure` when there is none."""
    try:
        event = jsonio.loads(record)
    except ValueError:
        event = None
    if isinstance(event, dict):
        if "type" in event:
            return event
        if "error" in event:  # As some gateways write it, in the middle of a stream.
            raise reported(event)
    raise malformed("an event of the stream is no JSON object with a type")
