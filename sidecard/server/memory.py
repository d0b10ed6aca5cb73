"""Memory: whether there is room for one call more, before its request is read.

Beyond its limit a container is killed, and every call with it. So where little is left, calls
that come are refused, while those that run end and give theirs back.
Only the process's own pages count: those of files, as the cache's, the kernel takes back itself.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from sidecard.core.clock import Clock
from sidecard.core.errors import Overloaded
from sidecard.core.note import Shed
from sidecard.core.ports import NoteSink

_EVERY_S: Final = 0.05
"""Looking takes 10 µs, and the largest request as long as this to come."""

_SHARE: Final = 0.9
_ENOUGH: Final = 0.95
"""Of the most that may be used, what has to be reached again before calls are taken again."""

_NONE: Final = 1 << 60
"""What kernels name as a limit where there is none."""

_AGAIN_S: Final = 1.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STATM: Final = Path("/proc/self/statm")

_log: Final = logging.getLogger(__name__)


class Memory:
    """Looks at what the process uses when a call comes, twenty times a second at most.

    `most_bytes` is what it may use, None for any amount. `used` returns what it does.
    """

    def __init__(
        self,
        most_bytes: int | None,
        *,
        clock: Clock,
        notes: NoteSink = lambda _: None,
        used: Callable[[], int] | None = None,
    ) -> None:
        self.most_bytes = most_bytes
        self.short = False
        self._clock = clock
        self._notes = notes
        self._used = used or private_bytes
        self._looks_at = float("-inf")

    def see_that_there_is_room(self, open_calls: int, request_id: str) -> None:
        """Raise `Overloaded` where there is none; never for the only call, this one included.

        What then is used no call gives back, and to refuse for ever would help nobody.
        """
        if self.most_bytes is None:
            return
        now = self._clock.now()
        if now >= self._looks_at:
            self._looks_at = now + _EVERY_S
            self._look(self.most_bytes)
        if self.short and open_calls > 1:
            self._notes(Shed(request_id, "", "", "edge", "memory"))
            told = f"the daemon uses the {self.most_bytes:,} bytes of memory that it may"
            raise Overloaded(f"{told} (listen.max_memory_bytes)", retry_after_s=_AGAIN_S)

    def _look(self, most: int) -> None:
        used = self._used()
        if used > (most * _ENOUGH if self.short else most):
            if not self.short:
                facts = {"used_bytes": used, "most_bytes": most, "field": "listen.max_memory_bytes"}
                _log.warning("memory is short", extra=facts)
                _trim()
            self.short = True
        elif self.short:
            self.short = False
            _log.info("memory suffices again", extra={"used_bytes": used, "most_bytes": most})

    def __repr__(self) -> str:
        most = "any" if self.most_bytes is None else f"{self.most_bytes:,} bytes"
        return f"<Memory, may use {most}{', short' if self.short else ''}>"


def most_of(configured: int | None, root: Path = Path("/")) -> int | None:
    """Return what may be used: as configured, or else nine tenths of what the container may."""
    if configured is not None:
        return configured
    limit = _container_bytes(root)
    return None if limit is None else int(limit * _SHARE)


def _container_bytes(root: Path) -> int | None:
    """Return the least that a control group of this process, of either version, may use."""
    names = {""}
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, kinds, name = line.split(":", 2)
            if kinds in {"", "memory"}:
                names.add(name.strip("/"))
    groups = root / "sys/fs/cgroup"
    found: list[int] = []
    for name in names:
        for folder, file in ((groups, "memory.max"), (groups / "memory", "memory.limit_in_bytes")):
            with suppress(OSError, ValueError):  # There is none, or it is "max".
                found.append(int((folder / name / file).read_text()))
    limit = min(found, default=_NONE)
    return limit if 0 < limit < _NONE else None


def private_bytes() -> int:
    """Return the memory that is this process's own; 0 where the system doesn't tell."""
    try:
        _, resident, shared, *_ = _STATM.read_bytes().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * _PAGE


def _trim() -> None:
    """Have the C library give back what it only keeps for later; not each of them can."""
    import ctypes  # noqa: PLC0415  # most daemons never need it

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
