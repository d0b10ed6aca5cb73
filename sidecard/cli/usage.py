"""`sidecard usage`: what was used, and what it cost, by tenant, route or model."""

import argparse
import csv
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sidecard.cli import show
from sidecard.cli.budget import NANO
from sidecard.cli.show import UNITS_S, Document, cell, table
from sidecard.core.ledger import WHOSE

_TIMEOUT_S: Final = 12.0
"""More than the daemon takes: half a million rows are summed up in seconds."""
_COUNTS: Final = (
    "calls",
    "guessed",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--by",
        type=_names,
        default=(),
        metavar="NAMES",
        help="a row for each: of tenant, route and model, with commas (default: all in one)",
    )
    parser.add_argument(
        "--since",
        type=_age_s,
        default=_age_s("1d"),
        metavar="AGE",
        help="how far back, as 90m, 12h, 7d; in whole hours (default: 1d). What is older than "
        "budgets.usage_days is gone, and isn't in the sums",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print CSV, with exact dollars")
    show.add_arguments(parser, forms)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; return 0, 1 when nobody answers so, 2 for an address that is none."""
    since = max(0, int(time.time() - arguments.since))
    since -= since % UNITS_S["h"]
    names = ",".join(arguments.by)

    def lines(rows: list[Document]) -> Iterator[str]:
        if not arguments.csv:
            yield f"since {datetime.fromtimestamp(since, UTC).astimezone():%Y-%m-%d %H:%M %Z}"
        yield from (_csv if arguments.csv else _told)(rows, arguments.by)

    path = f"/usage.json?since={since}&by={names}"
    return show.show(arguments, part=_rows, lines=lines, path=path, timeout_s=_TIMEOUT_S)


def _rows(document: Document) -> list[Document]:
    """Return the rows, the dearest first; raises ValueError where there are none."""
    found = document.get("rows")
    if not isinstance(found, list):
        raise ValueError("it isn't sidecard's")  # noqa: TRY004  # as other nonsense
    rows = [row for row in found if isinstance(row, dict)]
    return sorted(rows, key=lambda row: -_number(row, "nano_usd"))


def _number(row: Document, name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) else 0


def _told(rows: list[Document], by: tuple[str, ...]) -> Iterator[str]:
    if not rows:
        yield "nothing was used"
        return
    head = ("ATTEMPTS", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "COST")
    yield from table(
        (*[name.upper() for name in by], *head),
        [
            (
                *[cell(row.get(name)) for name in by],
                *[f"{_number(row, name):,}" for name in _COUNTS if name != "guessed"],
                f"${_number(row, 'nano_usd') / NANO:,.4f}",
            )
            for row in rows
        ],
    )
    if guessed := sum([_number(row, "guessed") for row in rows]):
        yield ""
        yield f"of {guessed:,} that broke off the cost is the most that it can have been"


def _csv(rows: list[Document], by: tuple[str, ...]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*by, *_COUNTS, "cost_usd"])
    for row in rows:
        names = [_safe(cell(row.get(name))) for name in by]
        writer.writerow([*names, *[_number(row, name) for name in _COUNTS], _dollars(row)])
    yield from text.getvalue().splitlines()


def _safe(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula: callers choose tenants."""
    return f"'{name}" if name.startswith(_FORMULAS) else name


def _dollars(row: Document) -> str:
    whole, nano = divmod(_number(row, "nano_usd"), NANO)
    return f"{whole}.{nano:09d}"


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if wrong := [name for name in names if name not in WHOSE]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(WHOSE)}")
    return names


def _age_s(text: str) -> float:
    number, unit = text[:-1], UNITS_S.get(text[-1:])
    if unit is None or not number.isascii() or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no age; expected one as 90m, 12h or 7d")
    return float(int(number) * unit)
