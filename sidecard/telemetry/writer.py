"""Where log lines go: out of the event loop's way.

A pipe that nobody reads is full after 64 KiB, and whoever writes to it then waits for ever.
So a thread writes, and what it can't get rid of in time is dropped and counted.
"""

import contextlib
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import Final

MAX_LINES: Final = 10_000
_CLOSE_S: Final = 1.0
_GATHER_S: Final = 0.02
"""The pause after a write: to wake the thread for each line costs a tenth of a call's CPU."""


class LogWriter:
    """A stream for `logging` over a file descriptor. `write` never waits and never fails."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._dropped = 0
        self._ended = threading.Event()
        # A daemon thread: one that hangs on a full pipe must not keep the process.
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str) -> None:
        """Take text to be written soon, or drop it where 10,000 pieces are waiting."""
        if self._lines.qsize() >= MAX_LINES:
            self._dropped += 1
        else:
            self._lines.put(text)

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def close(self) -> None:
        """Have what is waiting written, for a second at most."""
        self._lines.put(None)
        self._ended.wait(_CLOSE_S)

    def _run(self) -> None:
        ended = False
        while not ended:
            texts = [self._lines.get()]
            with contextlib.suppress(Empty):
                while len(texts) < MAX_LINES:
                    texts.append(self._lines.get_nowait())
            ended = None in texts
            if dropped := self._dropped:
                self._dropped -= dropped
                texts.append(
                    f'{{"event":"log lines dropped","level":"warning","lines":{dropped}}}\n'
                )
            self._out("".join([text for text in texts if text is not None]).encode())
            if not ended:
                time.sleep(_GATHER_S)
        self._ended.set()

    def _out(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # Whoever read the log has gone; calls go on.
            while data:
                data = data[os.write(self._descriptor, data) :]

    def __repr__(self) -> str:
        return f"<LogWriter, {self._lines.qsize()} waiting, {self._dropped} dropped>"
