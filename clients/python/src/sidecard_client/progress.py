"""What a stream has delivered, and how it ended; the same for both clients."""

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import grpc

from sidecard.v1.content_pb2 import ContentBlock
from sidecard.v1.generation_pb2 import GenerateResponse, StreamGenerateResponse
from sidecard.v1.stream_pb2 import StreamEvent
from sidecard_client.errors import SidecardError, UpstreamInterrupted
from sidecard_client.reply import Reply
from sidecard_client.request import Question

# Delta → the block that it grows, and the field of it.
_GROWS: Final = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "input_json"),
}


class Progress:
    """Events not yet read, the blocks that all add up to, and the end. Not to be shared."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._pending: deque[StreamEvent] = deque()
        self._blocks: dict[int, ContentBlock] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}
        self._last: GenerateResponse | None = None
        self._reply: Reply | None = None
        self._error: Exception | None = None

    @property
    def text(self) -> str:
        """All text that came so far; an answer only where `response` is there."""
        pieces = [
            piece
            for index, block in sorted(self._blocks.items())
            for piece in (block.text.text, *self._pieces.get((index, "text_delta"), ()))
        ]
        return "".join(pieces)

    @property
    def response(self) -> Reply:
        """The whole answer, once the stream was read to its end.

        Raises what the stream failed with, or RuntimeError while it isn't at its end.
        """
        if self._reply is not None:
            return self._reply
        raise self._error or RuntimeError("the stream was not read to its end")

    def _reached_end(self) -> bool:
        """Whether the answer is whole; raises what broke the stream."""
        if self._error is not None:
            raise self._error
        return self._reply is not None

    def _receive(self, message: StreamGenerateResponse | None) -> None:
        """Take the next message, None for gRPC's OK: which must not come before `response`."""
        if message is not None:
            self._pending.extend(message.events)
            for event in message.events:
                self._fold(event)
            if message.HasField("response"):
                self._last = message.response
        elif self._last is not None:
            self._reply = Reply.of(self._whole(self._last))
        else:
            self._error = UpstreamInterrupted(
                "the stream ended before the answer was whole",
                request_id=self._question.request_id,
                partial_text=self.text,
            )
            raise self._error

    def _fold(self, event: StreamEvent) -> None:
        kind = event.WhichOneof("event")
        if kind in _GROWS:
            self._pieces.setdefault((event.index, kind), []).append(getattr(event, kind))
        elif kind == "block_started":
            self._blocks[event.index] = block = ContentBlock()
            block.CopyFrom(event.block_started)
        elif kind == "citation_delta":
            self._blocks[event.index].text.citations.append(event.citation_delta)
        elif kind == "restarted":
            self._blocks.clear()
            self._pieces.clear()

    def _whole(self, last: GenerateResponse) -> GenerateResponse:
        """Put what was streamed into the last message, which leaves it out."""
        last.text = self.text
        for (index, kind), pieces in self._pieces.items():
            _grow(self._blocks[index], kind, "".join(pieces))
        self._pieces.clear()
        last.content.extend([block for _, block in sorted(self._blocks.items())])
        return last

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise gRPC's errors as `SidecardError`s, and remember: what is broken stays so."""
        try:
            yield
        except grpc.RpcError as error:
            self._error = self._error or self._question.error(error, self.text)
            raise self._error from error
        except SidecardError as error:
            self._error = self._error or error
            raise

    def _leave(self) -> None:
        """End the stream where it is; one that has ended stays as it ended."""
        if self._reply is None:
            self._pending.clear()
            self._error = self._error or RuntimeError("the stream was closed before its end")


def _grow(block: ContentBlock, kind: str, text: str) -> None:
    name, field = _GROWS[kind]
    if block.WhichOneof("block") == name:
        part = getattr(block, name)
        before = getattr(part, field)
        setattr(part, field, text if before == "{}" else before + text)
    elif kind == "input_json_delta" and block.HasField("raw"):
        with suppress(ValueError):  # It was cut off at max_tokens.
            block.raw["input"] = json.loads(text)
