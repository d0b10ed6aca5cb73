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
_MOST_BYTES: Final = 4 << 20
_OK: Final = 200
_PORTS: Final = 1 << 16
INTERRUPTED, PIPE_CLOSED = 130, 141
"""Exit statuses of what a signal ended, as those of `sidecard call`."""


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
    if not host or not (port.isascii() and port.isdigit() and int(port) < _PORTS):
        return _complain(f"{address} is no address; expected host:port", 2)
    try:
        document = _ask(host.strip("[]"), int(port))
        lines = [json.dumps(document, indent=2)] if arguments.json else list(_told(document))
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        # Nobody reads on; and Python, which flushes at its exit, must not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _complain(f"no daemon tells its status on {address}: {error}", 1)
    return 0


def _ask(host: str, port: int) -> dict[str, Any]:
    """Return the status document; raises OSError, HTTPException or ValueError."""
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/status.json")
        answer = connection.getresponse()
        text = answer.read(_MOST_BYTES)
    finally:
        connection.close()
    if answer.status != _OK:
        raise ValueError(f"it answers {answer.status} {answer.reason}")
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it isn't sidecard's")  # noqa: TRY004  # as other nonsense
    return document


def _told(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for people; what a daemon of another version leaves out is left out."""
    ready = document.get("ready")
    state = "ready" if ready is True else f"not ready: {_cell(ready)}"
    version = _cell(document.get("version"))
    yield f"sidecard {version}, {state}, up {_time(document.get('uptime_s'))}"
    yield f"retry budget: {_cell(_object(document, 'retry_budget').get('left'))} left"
    yield ""
    targets = document.get("targets")
    yield from _table(
        ("TARGET", "BREAKER", "FAILED", "SLOW", "CALLS", "OPENED", "NEXT PROBE", "LIMITS"),
        [_target(t) for t in targets if isinstance(t, dict)] if isinstance(targets, list) else [],
    )
    yield ""
    yield from _table(
        ("PLACES", "IN FLIGHT", "INTERACTIVE", "BATCH", "REFUSED"),
        [_bulkhead(name, found) for name, found in _objects(_object(document, "admission"))],
    )


def _target(target: dict[str, Any]) -> tuple[str, ...]:
    breaker, limits = _object(target, "breaker"), _object(target, "limits")
    opened, probe = breaker.get("opened_for_s"), breaker.get("retry_after_s")
    return (
        _cell(target.get("target")),
        _cell(breaker.get("state")).replace("_", "-"),
        _percent(breaker.get("failure_rate")),
        _percent(breaker.get("slow_rate")),
        _cell(breaker.get("calls")),
        "" if opened is None else f"{_time(opened)} ago",
        f"in {_time(probe)}" if probe else "",
        _limits(limits),
    )


def _limits(limits: dict[str, Any]) -> str:
    if closed_s := limits.get("closed_s"):
        return f"closed for {_time(closed_s)}"
    levels = [
        f"{_cell(name).replace('_', ' ')} {_cell(found.get('room'))}/{_cell(found['per_minute'])}"
        for name, found in _objects(limits)
        if found.get("per_minute")
    ]
    return ", ".join(levels) or "none known"


def _bulkhead(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    refused = _object(found, "refused").items()
    return (
        _cell(name or "shared"),
        f"{_cell(found.get('in_flight'))} of {_cell(found.get('limit'))}",
        _cell(found.get("interactive")),
        _cell(found.get("batch")),
        ", ".join([f"{_cell(number)} {_cell(why)}" for why, number in refused if number]) or "0",
    )


def _object(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a part that should be an object, an empty one where it isn't."""
    part = found.get(name)
    return part if isinstance(part, dict) else {}


def _objects(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, part) for name, part in found.items() if isinstance(part, dict)]


def _cell(value: object) -> str:
    """Return a value as text that no terminal takes for a command: callers name targets."""
    text = "?" if value is None else str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _percent(rate: object) -> str:
    return f"{100 * rate:.0f} %" if isinstance(rate, int | float) else "?"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def _time(seconds: object) -> str:
    """Return a duration in its two largest units."""
    if not isinstance(seconds, int | float):
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
