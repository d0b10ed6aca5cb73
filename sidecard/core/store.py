"""Stores, as a port: where the exact cache keeps its answers, bytes under a 32-byte key.

A store may lose what it was given, at any time: it is a cache.
It never gives back anything but what was put under that very key, whole, and it never waits:
what it can't do at once it does later, or drops and counts.
So a store that fails costs money, and no call.

Which entries are fresh is the reader's to say:
an expired one stays for as long as the store was told, since it can stand in for a failure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer to be kept. Moments are seconds since the Unix epoch.

    `tenant` and `route` are what it can be purged by.
    """

    value: bytes
    tenant: str
    route: str
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer that was kept. Moments are seconds since the Unix epoch."""

    value: bytes
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Purge:
    """Which entries to remove: those to which all that is said here applies; all, if nothing is.

    `created_before` is in seconds since the Unix epoch.
    """

    tenant: str | None = None
    route: str | None = None
    created_before: float | None = None

    @property
    def everything(self) -> bool:
        """Whether no entry is to stay."""
        return self.tenant is None and self.route is None and self.created_before is None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a store holds, and what became of the rest, counted since the process began.

    `why` says what keeps it from taking entries, "" when nothing does.
    `queued` entries wait to be written; `bytes` is what those written take, of `max_bytes`.
    `dropped` weren't written: the queue was full, they were too large, or the disk refused.
    `expired` were removed after their time, `evicted` before it, to make room.
    `damaged` failed their checksum and were removed;
    `unreadable` were met encrypted with a key that isn't ours, and are still there.
    """

    kind: str
    why: str
    entries: int
    bytes: int
    max_bytes: int
    queued: int
    written: int = 0
    dropped: int = 0
    expired: int = 0
    evicted: int = 0
    damaged: int = 0
    unreadable: int = 0
    set_aside: int = 0


@dataclass(frozen=True, slots=True)
class StoreOpened:
    """The store takes entries, from now on or again. It holds `entries` already."""

    where: str
    entries: int


@dataclass(frozen=True, slots=True)
class StoreChecking:
    """A large file is gone through before it is used: until then nothing is found in it."""

    file: str
    bytes: int


@dataclass(frozen=True, slots=True)
class StoreOut:
    """The store takes no entries because of `why`, and is tried again until it does."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class StoreSetAside:
    """A file that can't be used was renamed to `file`, because of `why`; a new one is begun."""

    file: str
    why: str


@dataclass(frozen=True, slots=True)
class StoreKeysKept:
    """The file with the encryption keys changed to what is no key: those of before still hold."""

    why: str


StoreNote: TypeAlias = StoreOpened | StoreChecking | StoreOut | StoreSetAside | StoreKeysKept

StoreSink: TypeAlias = Callable[[StoreNote], None]
"""Takes one note. It is called from the store's own thread, and must not raise or wait."""


class StoreFailed(Exception):
    """A purge couldn't be done, and may have been done in part: the text says why."""


class Store(Protocol):
    """Keeps answers. `get` and `put` are called from the event loop's thread alone.

    `keep_expired_s` is how long what has expired is kept; it may be set at any time.
    """

    keep_expired_s: float

    def get(self, key: bytes, now_wall: float) -> Stored | None:
        """Return what was put under the key, expired or not; None for a miss.

        `now_wall`, in seconds since the Unix epoch, is when it was used last, for the eviction.
        """
        ...

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep the entry instead of any other under its key; `get` finds it at once."""
        ...

    async def flush(self) -> None:
        """Return when what was put before is written, or dropped."""
        ...

    async def purge(self, which: Purge) -> int:
        """Remove entries, those that still wait too, and return how many; raises `StoreFailed`."""
        ...

    def stats(self) -> StoreStats:
        """Return what it holds, without waiting: up to date as of the last write."""
        ...

    async def aclose(self) -> None:
        """Write what waits, for some seconds at most; nothing may be asked of it afterwards."""
        ...
