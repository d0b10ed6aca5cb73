"""Frames: what travels between the daemon and the worker, four bytes of length and then JSON."""

import json
import struct
from typing import Final

from sidecard.core.jsonio import JsonValue

LENGTH: Final = struct.Struct(">I")


def frame(value: JsonValue) -> bytes:
    """Return a value as it travels: in ASCII, so that half a surrogate pair can, too."""
    data = json.dumps(value).encode("ascii")
    return LENGTH.pack(len(data)) + data
