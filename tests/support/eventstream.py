"""AWS's frames, from the writing side: the other side of `sidecard.upstream.sdk_eventstream`."""

import base64
import struct
import zlib
from collections.abc import Mapping

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject


def frame(headers: Mapping[str, str], payload: bytes, raw: bytes = b"") -> bytes:
    """Return one frame; `raw` is more headers, encoded already."""
    encoded = raw
    for name, value in headers.items():
        encoded += bytes([len(name)]) + name.encode() + b"\x07"
        encoded += struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + encoded + payload
    return message + struct.pack(">I", zlib.crc32(message))


def chunk(event: JsonObject) -> bytes:
    """Return the frame that carries one event of the API."""
    headers = {
        ":event-type": "chunk",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    data = base64.b64encode(jsonio.dumps(event).encode()).decode()
    return frame(headers, jsonio.dumps({"bytes": data, "p": "abcdef"}).encode())
