"""The port to the network: send one request, read its answer as bytes.

Two transports stand behind it, `direct` (aiohttp) and `sdk` (a client of the `anthropic` package).
Both give the bytes of the Messages API, unparsed, and raise `TransportFault`
for everything that isn't an HTTP answer, and for a 200 that is compressed.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol

from sidecard.core.jsonio import JsonObject

NONE: Final[Mapping[str, str]] = MappingProxyType({})
"""No headers."""


class Phase(Enum):
    """How far a request got before it failed."""

    CONNECT = "connect"
    """No connection: name not found, refused, TLS, or not within the connect timeout."""

    SEND = "send"
    """Connected, and then lost before the answer's status line: reset, closed, dead pooled."""

    READ = "read"
    """Lost in the middle of the answer's body."""


class TransportFault(Exception):
    """The network failed a request; `str()` is a reason that an operator can act on."""

    def __init__(self, phase: Phase, reason: str) -> None:
        super().__init__(reason)
        self.phase = phase
        self.reason = reason


class OutOfResources(TransportFault):
    """This machine had no descriptor or memory left for a connection; nothing was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(Phase.CONNECT, reason)


class Misconfigured(Exception):
    """The transport can't send at all, as without a key; `str()` names the fix, never a secret."""


class Response(Protocol):
    """An HTTP answer whose status and headers have come. Owned by one task."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, looked up without regard to case."""
        ...

    async def read(self) -> bytes:
        """Return all that has arrived, waiting for at least one byte; empty at the end.

        Raises `TransportFault`. Reads no further ahead than the socket's buffers.
        """
        ...

    async def aclose(self, *, finished: bool = False) -> None:
        """Let go: the connection goes back to the pool if all was read, else it is closed now.

        `finished` says that the answer is whole and only the body's own end may be missing:
        then the connection may wait for that end in the background, briefly, to be kept.
        """
        ...


class Transport(Protocol):
    """Sends requests. One for the process, shared by all tasks."""

    async def send(
        self, path: str, body: JsonObject, headers: Mapping[str, str] = NONE
    ) -> Response:
        """POST `body` as JSON to `path` (as `/v1/messages`); returns when the headers have come.

        `headers` are sent beside the transport's own.
        A status of 4xx or 5xx is an answer, too. Redirects are not followed.
        Raises `TransportFault` or `Misconfigured`.
        """
        ...

    @property
    def busy(self) -> int:
        """How many answers are being read now, each over a connection of its own."""
        ...

    @property
    def connections(self) -> int:
        """How many connections are open now, those that are kept for the next calls, too."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
