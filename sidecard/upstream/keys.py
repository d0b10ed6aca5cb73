"""The API key: from a file that may be rotated, or from the environment; never shown.

Nothing here puts a key into a `repr`, an error or a log.
"""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, Protocol, SupportsIndex

from sidecard.upstream.transport import Misconfigured

LOOK_EVERY_S: Final = 1.0
MAX_FILE_BYTES: Final = 16_384


class Secret(str):
    """Text without a `repr`, so that no traceback with local variables shows it; never pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError("a secret stays in its process")


class KeySource(Protocol):
    """Gives the key as it is now."""

    def current(self) -> Secret:
        """Return the key; raises `Misconfigured`, whose text names the fix."""
        ...

    def rejected(self) -> None:
        """Take note that the upstream refused the key: it may have been replaced."""
        ...


class FixedKey:
    """A key that stays as it is for the life of the process."""

    __slots__ = ("_key", "_origin")

    def __init__(self, key: str, *, origin: str) -> None:
        self._origin = origin
        key = Secret(key)
        self._key = _checked(key, origin)

    def current(self) -> Secret:
        """Return the key."""
        return self._key

    def rejected(self) -> None:
        """Do nothing: there is no other."""

    def __repr__(self) -> str:
        return f"<key from {self._origin}>"


class FileKey:
    """A key in a file, read again when the file changes: mounted secrets are replaced that way.

    The file is looked at once a second at most, and before the next request after a rejection.
    When the new content is no key, calls fail and say why:
    to go on with a key that was withdrawn would hide it.
    """

    __slots__ = ("_key", "_looked_at", "_now", "_path", "_stamp")

    def __init__(self, path: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._key = Secret()
        self._stamp: tuple[int, ...] = ()
        self._looked_at = float("-inf")
        self.current()

    def current(self) -> Secret:
        """Return the key in the file; raises `Misconfigured`."""
        now = self._now()
        if now - self._looked_at >= LOOK_EVERY_S or not self._key:
            self._look()
            self._looked_at = now
        return self._key

    def rejected(self) -> None:
        """Look at the file before the next request."""
        self._looked_at = float("-inf")

    def _look(self) -> None:
        origin = f"the key file {self._path}"
        try:
            stamp = _stamp(self._path.stat())
            if self._key and stamp == self._stamp:
                return
            self._key = Secret()
            self._key, self._stamp = _read(self._path, origin), stamp
        except OSError as error:
            self._key = Secret()
            raise Misconfigured(f"{origin} can't be read: {error.strerror}") from None

    def __repr__(self) -> str:
        return f"<key from {self._path}>"


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    """Return what changes when the file is written, replaced, or its link is turned elsewhere."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(path: Path, origin: str) -> Secret:
    # Not blocking, as to open a pipe would hang the daemon.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Misconfigured(f"{origin} is no regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise Misconfigured(f"{origin} is too large for a key: {found.st_size:,} bytes")
        return _checked(Secret(os.read(descriptor, MAX_FILE_BYTES).decode("latin-1")), origin)
    finally:
        os.close(descriptor)


def _checked(key: Secret, origin: str) -> Secret:
    """Return `key` without the white space around it; raises `Misconfigured` if it is no key."""
    key = Secret(key.strip())
    if not key:
        raise Misconfigured(f"{origin} is empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Misconfigured(f"{origin} holds no key: more than one line, or odd characters")
    return key
