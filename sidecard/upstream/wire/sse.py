"""Server-sent events from bytes that arrive in any split.

By the WHATWG's rules (https://html.spec.whatwg.org/multipage/server-sent-events.html):
lines end in LF, CR or CRLF, a blank line ends an event, comments and unknown fields are skipped,
and an event that the end of the stream cuts off is dropped.
`id` and `retry` mean nothing to us: nobody reconnects.
"""

from typing import Final

_BOM: Final = b"\xef\xbb\xbf"


class SseDecoder:
    """Turns bytes into the `data` of events. One per stream.

    Each byte is looked at once however small the pieces are: an unfinished line is kept in pieces.
    """

    __slots__ = ("_after_cr", "_data", "_pieces", "_started")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that `chunk` completes; events without data don't count."""
        if not chunk:
            return []
        if self._after_cr and chunk[:1] == b"\n":  # The second half of a CRLF.
            chunk = chunk[1:]
        self._after_cr = chunk[-1:] == b"\r" if chunk else False
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._pieces.append(chunk)
            return []
        *lines, rest = chunk.split(b"\n")
        if self._pieces:
            lines[0] = b"".join([*self._pieces, lines[0]])
        self._pieces = [rest] if rest else []
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        if not self._started:
            self._started = True
            lines[0] = lines[0].removeprefix(_BOM)
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
            elif line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
        return events
