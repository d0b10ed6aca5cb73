"""What commands share that ask a running daemon: how it is asked, how they end, and tables."""

import argparse
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

_DEFAULT: Final = "127.0.0.1:7412"
UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
"""What an age may be given in, and how many seconds each has."""

_MOST_BYTES: Final = 4 << 20
_OK: Final = 200
_WHY_BYTES: Final = 200
_PORTS: Final = 1 << 16
INTERRUPTED, PIPE_CLOSED = 130, 141
"""Exit statuses of what a signal ended, as shells give them: 128 + SIGINT, 128 + SIGPIPE."""
_WHERE: Final = "listen.admin says where it is, --admin or $SIDECARD_ADMIN where to ask"

Document = dict[str, Any]


def add_arguments(
    parser: argparse.ArgumentParser, forms: "argparse._MutuallyExclusiveGroup | None" = None
) -> None:
    """Declare how the daemon is found, and in which form it is shown: one, among other `forms`."""
    forms = forms or parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print the document as it is")
    parser.add_argument(
        "--admin", help=f"the daemon's listen.admin (default: $SIDECARD_ADMIN or {_DEFAULT})"
    )


def show(
    arguments: argparse.Namespace,
    *,
    part: Callable[[Document], Any],
    lines: Callable[[Any], Iterator[str]],
    path: str = "/status.json",
    timeout_s: float = 2.0,
) -> int:
    """Ask, and print a part of a document, the status if no other, as lines or as JSON.

    Returns 0, 1 when nobody answers so, 2 for an address that is none.
    """
    address = arguments.admin or os.environ.get("SIDECARD_ADMIN") or _DEFAULT
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) < _PORTS):
        return complain(arguments, f"{address} is no address; expected host:port", 2)
    try:
        found = part(_ask(host.strip("[]"), int(port), path, timeout_s))
        text = json.dumps(found, indent=2) if arguments.json else "\n".join(lines(found))
        print(text, flush=True)
    except BrokenPipeError:
        # Nobody reads on; and Python, which flushes at its exit, must not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except _Refused as refused:
        return complain(arguments, f"{address} answers {refused}", 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = f"no daemon tells its status on {address}: {cell(error)}; {_WHERE}"
        return complain(arguments, told, 1)
    return 0


class _Refused(ValueError):
    """Somebody answers, but not with a document; `str()` is what was said."""


def _ask(host: str, port: int, path: str, timeout_s: float) -> Document:
    """Return the document; raises OSError, HTTPException or ValueError."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read(_MOST_BYTES)
    finally:
        connection.close()
    if answer.status != _OK:
        raise _Refused(f"{answer.status}: {_why(text) or answer.reason}")
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it isn't sidecard's")  # noqa: TRY004  # as other nonsense
    return document


def _why(text: bytes) -> str:
    """Return the first line of what was answered instead, as a terminal may show it."""
    return cell(text[:_WHY_BYTES].decode("utf-8", "replace").partition("\n")[0])


def section(found: Document, name: str) -> Document:
    """Return a part that should be an object, an empty one where it isn't."""
    part = found.get(name)
    return part if isinstance(part, dict) else {}


def sections(found: Document) -> list[tuple[str, Document]]:
    """Return the parts that are objects, by their names."""
    return [(name, part) for name, part in found.items() if isinstance(part, dict)]


def cell(value: object) -> str:
    """Return a value as text that no terminal takes for a command: callers name targets."""
    text = "?" if value is None else str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def number(count: object, what: str) -> str:
    """Return how many there are of what a word names, as people say it."""
    return f"{cell(count)} {what if count == 1 else what + 's'}"


def percent(rate: object) -> str:
    """Return a share as a text."""
    return f"{100 * rate:.0f} %" if isinstance(rate, int | float) else "?"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table in columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def duration(seconds: object) -> str:
    """Return a duration in its two largest units."""
    if not isinstance(seconds, int | float):
        return "?"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms" if seconds > 0 else "0 s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"  # noqa: PLR2004
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def complain(arguments: argparse.Namespace, text: str, status: int) -> int:
    """Say on standard error why a command failed, and return its exit status."""
    print(f"sidecard {arguments.command}: {text}", file=sys.stderr)
    return status
