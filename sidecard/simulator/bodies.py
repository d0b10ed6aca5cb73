"""Bodies that are too long, packed, or cut up. Made piece by piece: none is ever held whole."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from typing import Final

from sidecard.core import jsonio
from sidecard.simulator.answers import Answer
from sidecard.simulator.exchange import STREAM, Exchange, pieces_of
from sidecard.simulator.pace import MAX_WAIT_S, Pace, filler
from sidecard.simulator.plan import Ending, Piece, Plan
from sidecard.simulator.prompt import tokens_of
from sidecard.simulator.sse import PING, PREAMBLE_EVENTS, delta, speak
from sidecard.simulator.steps import Endless, Framing

_CHUNK_BYTES: Final = 1 << 18
_LEAST_WAIT_S: Final = 1e-4
_EMPTY_TEXT: Final = ({"type": "text", "text": ""},)
_NEWLINES: Final = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}


def huge(exchange: Exchange, size_bytes: int, delta_bytes: int, *, one_event: bool) -> Plan:
    """Return a good answer with `size_bytes` of text."""
    if exchange.answer is None:
        return exchange.plan()
    first, last = _around_text(exchange.answer, tokens_of(size_bytes))
    if not exchange.stream:
        head = exchange.head(len(first) + size_bytes + len(last))
        return Plan(head, chain([Piece(first)], _text(size_bytes, _CHUNK_BYTES), [Piece(last)]))
    opening, closing = _around_deltas(exchange.answer, tokens_of(size_bytes))
    deltas: Iterator[Piece]
    if one_event:
        first, last = _around_delta_text()
        deltas = chain([Piece(first)], _text(size_bytes, _CHUNK_BYTES), [Piece(last)])
    else:
        deltas = _deltas(size_bytes, delta_bytes)
    return Plan(STREAM, chain(opening, deltas, closing))


def endless(exchange: Exchange, step: Endless) -> Plan:
    """Return an answer that goes on until the client leaves, or is reset after 600 s."""
    if exchange.answer is None:
        return exchange.plan()
    text = filler(step.delta_bytes)
    line = Piece(text.encode(), step.delta_s, tokens_of(step.delta_bytes))
    if not exchange.stream:
        first, _ = _around_text(exchange.answer, 0)
        return Plan(exchange.head(), _for_ever(Piece(first), line), Ending.RESET)
    opening, _ = _around_deltas(exchange.answer, 0)
    match step.of:
        case "deltas":
            said = delta(0, {"type": "text_delta", "text": text})
            line = line._replace(data=said.encode())
        case "pings":
            line = Piece(PING.encode(), step.delta_s)
        case "line":
            opening.append(Piece(_around_delta_text()[0]))
    return Plan(STREAM, _for_ever(*opening, line), Ending.RESET)


def zipped(plan: Plan) -> Plan:
    """Return the same answer in gzip, flushed after each piece."""
    if plan.head is None:
        return plan
    headers = {**plan.head.headers, "content-encoding": "gzip"}
    return replace(
        plan,
        head=replace(plan.head, headers=headers, length=None),
        pieces=_zip(plan.pieces),
    )


def _zip(pieces: Iterable[Piece]) -> Iterator[Piece]:
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    for piece in pieces:
        yield piece._replace(data=packer.compress(piece.data) + packer.flush(zlib.Z_SYNC_FLUSH))
    yield Piece(packer.flush())


def reframed(step: Framing, exchange: Exchange) -> list[Piece]:
    """Return the same events in other bytes, all of which the event-stream format allows."""
    newline = _NEWLINES[step.newline]
    pieces = []
    for piece in exchange.pieces():
        name, data = piece.data.decode().removeprefix("event: ").rstrip("\n").split("\ndata: ")
        lines = [f"event: {name}", *(f"data: {part}" for part in _parts(data, step))]
        if step.comments:
            lines = [": a comment", *lines, ":"]
        if not step.space:
            lines = [line.replace(": ", ":", 1) for line in lines]
        if step.unknown_events:
            lines = [*_unknown(), *lines]
        raw = b"".join(line.encode() + newline for line in [*lines, ""])
        pieces.append(piece._replace(data=raw))
    return pieces


def _parts(data: str, step: Framing) -> list[str]:
    """Cut JSON where a newline may stand: after the first brace and before the last."""
    return ["{", data[1:-1], "}"] if step.split_data else [data]


def _unknown() -> list[str]:
    return [
        "event: aurora",
        'data: {"type": "aurora", "colour": "green"}',
        "id: 7",
        "retry: 10",
        "",
    ]


def _text(size_bytes: int, step_bytes: int) -> Iterator[Piece]:
    text = filler(step_bytes).encode()
    for at in range(0, size_bytes, step_bytes):
        size = min(step_bytes, size_bytes - at)
        yield Piece(text[:size], tokens=tokens_of(at + size) - tokens_of(at))


def _deltas(size_bytes: int, delta_bytes: int) -> Iterator[Piece]:
    for piece in _text(size_bytes, delta_bytes):
        said = delta(0, {"type": "text_delta", "text": piece.data.decode()})
        yield piece._replace(data=said.encode())


def _for_ever(*pieces: Piece) -> Iterator[Piece]:
    """Yield the pieces, and the last of them again and again."""
    yield from pieces
    yield from repeat(pieces[-1], int(MAX_WAIT_S / max(pieces[-1].wait_s, _LEAST_WAIT_S)))


def _around_text(answer: Answer, tokens: int) -> tuple[bytes, bytes]:
    """Return a unary body with one text block, as what stands before the text and after it."""
    body = replace(answer, content=_EMPTY_TEXT).message()
    body["usage"]["output_tokens"] = tokens
    before, after = jsonio.dumps(body).encode().split(b'"text":""', 1)
    return before + b'"text":"', b'"' + after


def _around_deltas(answer: Answer, tokens: int) -> tuple[list[Piece], list[Piece]]:
    """Return the events before and after the deltas of a stream with one text block."""
    spoken = speak(replace(answer, content=_EMPTY_TEXT), Pace())
    for said in spoken:
        if said.event["type"] == "message_delta":
            said.event["usage"]["output_tokens"] = tokens
    pieces = [piece._replace(tokens=0) for piece in pieces_of(spoken)]
    return pieces[:PREAMBLE_EVENTS], pieces[PREAMBLE_EVENTS:]


def _around_delta_text() -> tuple[bytes, bytes]:
    said = delta(0, {"type": "text_delta", "text": ""})
    before, after = said.encode().split(b'"text":""', 1)
    return before + b'"text":"', b'"' + after
