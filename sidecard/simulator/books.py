"""The simulator's books: what it received, billed and left open, for tests to assert on.

Times are moments of `time.monotonic`, in seconds.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Final

from sidecard.core.jsonio import JsonObject

_KEPT: Final = 10_000
_BODIES_KEPT: Final = 64


class Result(Enum):
    """How a request ended, as the simulator saw it."""

    COMPLETED = "completed"
    """Everything that was planned was sent, be it an error."""

    BROKEN = "broken"
    """The simulator broke the connection, as planned."""

    ABANDONED = "abandoned"
    """The client left before that."""

    STOPPED = "stopped"
    """The simulator was stopped before that."""


@dataclass(slots=True)
class Entry:
    """One request. `status` is None until headers are sent, `ended_at` until it is over.

    The tokens are what is billed: the input with a 200, output as far as it was sent.
    """

    request_id: str
    path: str
    began_at: float
    model: str = ""
    fault: str = "none"
    stream: bool = False
    status: int | None = None
    result: Result | None = None
    ended_at: float | None = None
    sent_bytes: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0

    def bill(self, fresh: int, read: int, write_5m: int, write_1h: int) -> None:
        """Bill the input."""
        self.input_tokens = fresh
        self.cache_read_tokens = read
        self.cache_write_tokens = write_5m + write_1h


@dataclass(frozen=True, slots=True)
class Received:
    """What a client sent. Holds its key: for tests in the same process, never served."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: JsonObject


class Books:
    """Counts for ever, remembers the last 10,000 requests and the last 64 bodies."""

    def __init__(self, now: Callable[[], float], connections: Callable[[], int]) -> None:
        self._now = now
        self._connections = connections
        self.requests = 0
        self.open: dict[str, Entry] = {}
        self.ended: deque[Entry] = deque(maxlen=_KEPT)
        self.received: deque[Received] = deque(maxlen=_BODIES_KEPT)
        self.results: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()

    @property
    def connections_open(self) -> int:
        """Connections that clients hold open now, idle ones too."""
        return self._connections()

    @property
    def requests_open(self) -> int:
        """Requests that are being answered now."""
        return len(self.open)

    @property
    def streams_open(self) -> int:
        """Streams that are being sent now."""
        return sum(entry.stream for entry in self.open.values())

    @property
    def abandoned(self) -> list[Entry]:
        """The requests whose client left early; `ended_at` says when that was seen."""
        return [entry for entry in self.ended if entry.result is Result.ABANDONED]

    def begin(self, path: str) -> Entry:
        """Open the entry of a request that has arrived."""
        self.requests += 1
        entry = Entry(f"req_sim_{self.requests:08d}", path, self._now())
        self.open[entry.request_id] = entry
        return entry

    def end(self, entry: Entry, result: Result) -> None:
        """Close an entry; only the first time counts."""
        if self.open.pop(entry.request_id, None) is None:
            return
        entry.result = result
        entry.ended_at = self._now()
        self.ended.append(entry)
        self.results[result.value] += 1
        self.statuses[str(entry.status or "none")] += 1
        self.faults[entry.fault] += 1
        for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"):
            self.tokens[name] += getattr(entry, name)

    def as_json(self, last: int = 100) -> dict[str, Any]:
        """Return the totals, and the entries of the open and the last requests."""
        return {
            "now": self._now(),
            "requests": self.requests,
            "requests_open": self.requests_open,
            "streams_open": self.streams_open,
            "connections_open": self.connections_open,
            "results": dict(self.results),
            "statuses": dict(self.statuses),
            "faults": dict(self.faults),
            "tokens": dict(self.tokens),
            "open": [_entry(entry) for entry in self.open.values()],
            "ended": [_entry(entry) for entry in list(self.ended)[-last:]],
        }

    def __repr__(self) -> str:
        return f"<Books: {self.requests} requests, {self.requests_open} open>"


def _entry(entry: Entry) -> dict[str, Any]:
    values = asdict(entry)
    values["result"] = entry.result and entry.result.value
    return values
