"""Carries out a plan on an aiohttp connection."""

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from aiohttp import web

from sidecard.simulator.books import Entry
from sidecard.simulator.pace import MAX_WAIT_S
from sidecard.simulator.plan import Ending, Head, Piece, Plan

_WRITE_BYTES: Final = 1 << 16
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Broken(Exception):
    """The plan broke the connection: there is nothing left to answer on."""


async def play(plan: Plan, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
    """Send what is planned; returns the finished response, or raises `Broken`.

    Writes to `entry` what was sent.
    Raises OSError or CancelledError when the client leaves, whichever is seen first.
    """
    if plan.wait_s:
        await asyncio.sleep(plan.wait_s)
    if plan.head is None:
        return await _end(plan.ending, request, None)
    entry.status = plan.head.status
    response = _response(plan.head, entry.request_id)
    await response.prepare(request)
    for piece in _joined(plan.pieces) if plan.joined else plan.pieces:
        await asyncio.sleep(piece.wait_s)
        if piece.data:
            await response.write(piece.data)
        entry.sent_bytes += len(piece.data)
        entry.output_tokens += piece.tokens
    return await _end(plan.ending, request, response)


def _response(head: Head, request_id: str) -> web.StreamResponse:
    headers = {"content-type": head.content_type, "request-id": request_id, **head.headers}
    response = web.StreamResponse(status=head.status, headers=headers)
    if head.length is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = head.length
    return response


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Join pieces that needn't wait for each other, up to 64 KiB."""
    held: list[bytes] = []
    size, wait_s, tokens = 0, 0.0, 0
    for piece in pieces:
        if held and (piece.wait_s or size >= _WRITE_BYTES):
            yield Piece(b"".join(held), wait_s, tokens)
            held, size, wait_s, tokens = [], 0, 0.0, 0
        if not held:
            wait_s = piece.wait_s
        held.append(piece.data)
        size += len(piece.data)
        tokens += piece.tokens
    if held:
        yield Piece(b"".join(held), wait_s, tokens)


async def _end(
    ending: Ending, request: web.BaseRequest, response: web.StreamResponse | None
) -> web.StreamResponse:
    if ending is Ending.CLEAN and response is not None:
        await response.write_eof()
        return response
    if ending is Ending.HANG:
        await asyncio.sleep(MAX_WAIT_S)
    if ending is not Ending.CLOSE:
        reset(request.transport)
    elif request.transport is not None:
        request.transport.close()
    raise Broken


def reset(transport: asyncio.Transport | None) -> None:
    """Drop a connection so that its peer sees a reset, not an end."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
