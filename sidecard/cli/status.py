"""`sidecard status`: what a running daemon says of itself, as a table."""

import argparse
import http.client
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

_DEFAULT: Final = "127.0.0.1:7412"
_TIMEOUT_S: Final = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--json", action="store_true", help="print the document as it is")
    parser.add_argument(
        "--admin", help=f"the daemon's listen.admin (default: $SIDECARD_ADMIN or {_DEFAULT})"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; return 0, 1 when nobody answers so, 2 for an address that is none."""
    address = arguments.admin or os.environ.get("SIDECARD_ADMIN") or _DEFAULT
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return _complain(f"{address} is no address; expected host:port", 2)
    try:
        document = _ask(host.strip("[]"), int(port))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _complain(f"no daemon tells its status on {address}: {error}", 1)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(_told(document)))
    return 0


def _ask(host: str, port: int) -> dict[str, Any]:
    """Return the status document; raises OSError, HTTPException or ValueError."""
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/status.json")
        answer = connection.getresponse()
        document = json.loads(answer.read())
    finally:
        connection.close()
    if not isinstance(document, dict):
        msg = "it isn't sidecard's"
        raise ValueError(msg)  # noqa: TRY004  # as other nonsense
    return document


def _told(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for people; what a daemon of another version leaves out is left out."""
    ready = document.get("ready")
    state = "ready" if ready is True else f"not ready: {ready}"
    yield f"sidecard {document.get('version', '?')}, {state}, up {_time(document.get('uptime_s'))}"
    budget = document.get("retry_budget") or {}
    yield f"retry budget: {budget.get('left', '?')} left"
    yield ""
    yield from _table(
        ("TARGET", "BREAKER", "FAILED", "SLOW", "CALLS", "OPENED", "NEXT PROBE", "LIMITS"),
        [_target(target) for target in document.get("targets") or ()],
    )
    yield ""
    admission = document.get("admission") or {}
    yield from _table(
        ("PLACES", "IN FLIGHT", "INTERACTIVE", "BATCH", "REFUSED"),
        [_bulkhead(name or "shared", found) for name, found in admission.items()],
    )


def _target(target: dict[str, Any]) -> tuple[str, ...]:
    breaker, limits = target.get("breaker") or {}, target.get("limits") or {}
    opened, probe = breaker.get("opened_for_s"), breaker.get("retry_after_s")
    return (
        str(target.get("target", "?")),
        str(breaker.get("state", "?")).replace("_", "-"),
        f"{100 * breaker.get('failure_rate', 0):.0f} %",
        f"{100 * breaker.get('slow_rate', 0):.0f} %",
        str(breaker.get("calls", "?")),
        "" if opened is None else f"{_time(opened)} ago",
        f"in {_time(probe)}" if probe else "",
        _limits(limits),
    )


def _limits(limits: dict[str, Any]) -> str:
    if closed_s := limits.get("closed_s"):
        return f"closed for {_time(closed_s)}"
    levels = [
        f"{name.replace('_', ' ')} {found.get('room')}/{found['per_minute']}"
        for name, found in limits.items()
        if isinstance(found, dict) and found.get("per_minute")
    ]
    return ", ".join(levels) or "none known"


def _bulkhead(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    refused = found.get("refused") or {}
    return (
        name,
        f"{found.get('in_flight', '?')} of {found.get('limit', '?')}",
        str(found.get("interactive", "?")),
        str(found.get("batch", "?")),
        ", ".join([f"{number} {why}" for why, number in refused.items() if number]) or "0",
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def _time(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"  # noqa: PLR2004
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _complain(text: str, status: int) -> int:
    print(f"sidecard status: {text}", file=sys.stderr)
    return status
