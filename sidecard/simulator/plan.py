"""Plans: everything that happens on the wire for one request, decided before it begins.

`faults` makes them, `play` carries them out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject
from sidecard.simulator.refusal import error_body, error_type


class Ending(Enum):
    """How the connection is left after the last piece."""

    CLEAN = "clean"
    """The body is complete, as HTTP sees it, and the connection can be used again."""

    CLOSE = "close"
    """The connection is closed where it stands."""

    RESET = "reset"
    """The connection is reset where it stands."""

    HANG = "hang"
    """Nothing more comes, until the client leaves."""


class Piece(NamedTuple):
    """Some bytes of the body; the wait before them, and what they bill."""

    data: bytes
    wait_s: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers. Without `length`, the body is chunked."""

    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent, when, and how it ends; no `head` means that no answer comes at all.

    `joined`: pieces that needn't wait may be sent in one write.
    """

    head: Head | None
    pieces: Iterable[Piece] = ()
    ending: Ending = Ending.CLEAN
    wait_s: float = 0.0
    joined: bool = field(default=True, kw_only=True)


def json_plan(body: JsonObject, status: int = 200, tokens: int = 0) -> Plan:
    """Return the plan for a whole JSON answer."""
    data = jsonio.dumps(body).encode()
    head = Head("application/json", status, length=len(data))
    return Plan(head, (Piece(data, tokens=tokens),))


def error_plan(status: int, message: str, request_id: str) -> Plan:
    """Return the plan for an error as the API words it."""
    return json_plan(error_body(error_type(status), message, request_id), status)
