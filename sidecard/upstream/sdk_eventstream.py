"""Bedrock's streams: the API's events in AWS's binary frames, turned back into server-sent events.

The SDK's own decoder needs botocore, and gives one event at a time.
A frame, as the AWS SDKs document the `vnd.amazon.eventstream` encoding, big endian:
total length, length of the headers, CRC-32 of those eight bytes; headers; payload;
CRC-32 of all before it.
A header is a name behind its length in one byte, and a value behind its type in one byte.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from sidecard.core import jsonio

MAX_FRAME_BYTES: Final = 25_165_824

_PRELUDE: Final = struct.Struct(">III")
_CRC_BYTES: Final = 4
_TEXT: Final = 7
# Type of a header's value → its size; -2 stands for a size of two bytes in front of it.
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: -2, _TEXT: -2, 8: 8, 9: 16}


class EventStreamDecoder:
    """Turns the bytes of one stream, in any split, into those of server-sent events."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return the events that `data` completes; raises ValueError for what is no frame."""
        self._buffer += data
        return b"".join([_event(*_parts(frame)) for frame in self._frames()])

    def _frames(self) -> Iterator[bytes]:
        while len(self._buffer) >= _PRELUDE.size:
            total, _, crc = _PRELUDE.unpack_from(self._buffer)
            if crc != zlib.crc32(self._buffer[:8]) or total > MAX_FRAME_BYTES:
                raise ValueError("no frame of an event stream")
            if len(self._buffer) < total:
                return
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            if zlib.crc32(frame[:-_CRC_BYTES]).to_bytes(_CRC_BYTES) != frame[-_CRC_BYTES:]:
                raise ValueError("a frame's checksum is wrong")
            yield frame


def _parts(frame: bytes) -> tuple[dict[str, str], bytes]:
    """Return the headers that are text, and the payload."""
    _, headers_bytes, _ = _PRELUDE.unpack_from(frame)
    at, end = _PRELUDE.size, _PRELUDE.size + headers_bytes
    headers: dict[str, str] = {}
    try:
        while at < end:
            name_end = at + 1 + frame[at]
            kind = frame[name_end]
            start, size = name_end + 1, _SIZES[kind]
            if size < 0:
                size = int.from_bytes(frame[start : start + 2])
                start += 2
            if kind == _TEXT:
                headers[frame[at + 1 : name_end].decode()] = frame[start : start + size].decode()
            at = start + size
    except (IndexError, KeyError):
        raise ValueError("a frame's headers are broken") from None
    return headers, frame[end:-_CRC_BYTES]


def _event(headers: dict[str, str], payload: bytes) -> bytes:
    if headers.get(":message-type") == "event":
        return _framed(_chunk(payload))
    if headers.get(":message-type") == "error":
        kind, message = headers.get(":error-code"), headers.get(":error-message")
    else:
        kind, message = headers.get(":exception-type"), _message(payload)
    error = {"type": kind or "api_error", "message": message or ""}
    return _framed(jsonio.dumps({"type": "error", "error": error}).encode())


def _framed(data: bytes) -> bytes:
    lines = data.splitlines()
    return b"".join([b"data: %b\n" % line for line in lines]) + b"\n" if lines else b""


def _chunk(payload: bytes) -> bytes:
    """Return the API's event in the payload of a chunk; nothing for other kinds of events."""
    chunk = jsonio.loads(payload)
    data = chunk.get("bytes") if isinstance(chunk, dict) else None
    if not isinstance(data, str):
        return b""
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise ValueError("a chunk is not in base64") from None


def _message(payload: bytes) -> str:
    try:
        return str(jsonio.loads(payload)["message"])
    except (ValueError, KeyError, TypeError):
        return ""
