"""The worker's process, seen from the daemon: a socket to it, and its end.

It is started by `subprocess`, which doesn't fork the daemon (`vfork`, as nothing runs before the
new program): gRPC hooks into forks, and has threads. Measured, 3 of 64 workers that uvloop
forked off a daemon died before their first line, and none of 80 that are started so.
It takes less than 1 ms of the event loop.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from typing import Any, Final, Self

from sidecard.core.jsonio import JsonValue
from sidecard.schema.frames import LENGTH, frame

_PASSED_ON: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "TZ")
"""All of the environment that the worker gets: it needs no key."""
_ARGUMENTS: Final = ("-P", "-m", "sidecard.schema.worker")


class WorkerProcess:
    """One process. Serves one question at a time. `pid` is its number."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.pid = process.pid

    @classmethod
    async def start(cls) -> Self:
        """Start one; raises OSError. It says when it is ready."""
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: ASYNC220, S603  # Doesn't wait: see above.
                    [sys.executable, *_ARGUMENTS],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env=env,
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def runs(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def send(self, question: JsonValue) -> None:
        """Ask; the answers are read."""
        self._writer.write(frame(question))

    async def read(self) -> dict[str, Any]:
        """Return the next answer; raises EOFError or OSError when there is none to come."""
        head = await self._reader.readexactly(LENGTH.size)
        found: dict[str, Any] = json.loads(await self._reader.readexactly(LENGTH.unpack(head)[0]))
        return found

    def close(self) -> None:
        """Have it end by itself, as it has nothing more to read."""
        self._writer.close()

    def kill(self) -> None:
        """End it now."""
        self.close()
        self._process.kill()
        # Somebody has to wait for it, and who leaves in the middle of a question can't.
        threading.Thread(target=self._process.wait, daemon=True).start()

    async def wait(self) -> int:
        """Return the exit status of one that ends: below 0, the signal that ended it."""
        return await asyncio.to_thread(self._process.wait)

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.pid}, {'runs' if self.runs else 'ended'}>"
