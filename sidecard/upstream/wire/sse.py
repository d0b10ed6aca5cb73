"""Server-sent events from bytes that arrive in any split.

By the WHATWG's rules (https://html.spec.whatwg.org/multipage/server-sent-events.html):
lines end in LF, CR or CRLF, a blank line ends an event, comments and unknown fields are skipped,
and an event that the end of the stream cuts off is dropped.
`id` and `retry` mean nothing to us, as nobody reconnects;
nor does `event`, as the API's data names its type itself.
"""

import re
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"

# One event as the API frames it, from the start of a line: no line is looked at twice.
_RECORD: Final = re.compile(rb"(?m)^(?:event: \w++\n)?data: (.++)\n\n")


class SseDecoder:
    """Turns bytes into the `data` of events. One per stream.

    Each byte is copied a bounded number of times, however small the pieces are.
    """

    __slots__ = ("_after_cr", "_data", "_rest", "_started")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that `chunk` completes; empty data doesn't count."""
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_lf(chunk)
        if b"\n" not in chunk:
            self._rest += chunk
            return []
        if self._rest:
            chunk = b"".join((self._rest, chunk))
            self._rest.clear()
        if not self._started:
            self._started = True
            chunk = chunk.removeprefix(_BOM)
        if self._data:
            return self._by_line(chunk)
        # The data is every second part; what isn't framed like the API's is between.
        parts = _RECORD.split(chunk)
        tail = parts.pop()
        if any(parts[::2]):
            return self._by_line(chunk)
        return parts[1::2] + self._by_line(tail) if tail else parts[1::2]

    def _with_lf(self, chunk: bytes) -> bytes:
        """Return `chunk` with LF for each line's end, of which CRLF may be cut in two."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if chunk.endswith(b"\r"):
            self._after_cr = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _by_line(self, text: bytes) -> list[bytes]:
        """Return the data of the events in `text`, which starts at the start of a line."""
        lines = text.split(b"\n")
        self._rest += lines.pop()
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if not line:
                if event := b"\n".join(data):
                    events.append(event)
                data.clear()
            elif line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
        return events
