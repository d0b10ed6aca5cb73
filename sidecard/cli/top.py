"""`sidecard top`: what `sidecard status` shows and the last calls, again and again."""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sidecard.cli import show, status
from sidecard.cli.show import Document, cell, duration, section, table

_HOME: Final = "\x1b[H\x1b[J"
"""Where a terminal begins anew; what isn't one gets a page after the other."""
_CUT: Final = "\x1b[?7l"
_WRAP: Final = "\x1b[?7h"
"""What has a terminal cut lines of wide characters: one that wraps pushes the first out of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    show.add_arguments(parser)
    parser.add_argument(
        "--every", type=float, default=2.0, metavar="SECONDS", help="how often (default: 2)"
    )
    parser.add_argument("--times", type=int, metavar="N", help="how many times (default: until ^C)")


def run(arguments: argparse.Namespace) -> int:
    """Show until a signal; return as `sidecard status` does, and 0 after ^C."""
    if not arguments.every > 0:
        return show.complain(arguments, "--every has to be more than 0", 2)
    left = arguments.times
    while left is None or left > 0:
        code = show.show(arguments, part=lambda document: document, lines=_told)
        if code:
            return 0 if code == show.INTERRUPTED else code
        left = None if left is None else left - 1
        try:
            time.sleep(arguments.every if left != 0 else 0)
        except KeyboardInterrupt:
            return 0
    return 0


def _told(document: Document) -> Iterator[str]:
    window = shutil.get_terminal_size()
    lines = [*status.told(document), "", _cache(document), "", *_recent(document)]
    if sys.stdout.isatty():
        lines = [line[: window.columns] for line in lines[: window.lines - 1]]
        lines[0] = _HOME + _CUT + lines[0]
        lines[-1] += _WRAP
    yield from lines


def _cache(document: Document) -> str:
    store, sums = section(document, "cache"), dict[str, float]()
    for key, count in section(document, "cache_calls").items():
        if isinstance(count, int | float):
            result = key.rpartition(" ")[2]
            sums[result] = sums.get(result, 0) + count
    told = ", ".join([f"{cell(name)} {count:.0f}" for name, count in sorted(sums.items())])
    return f"cache: {told or 'no calls yet'}; {cell(store.get('entries'))} answers kept"


def _recent(document: Document) -> Iterator[str]:
    found = document.get("recent")
    calls = [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []
    return table(
        ("TIME", "ROUTE", "TENANT", "END", "SOURCE", "TARGET", "FIRST", "TOOK", "TOKENS"),
        [_call(call) for call in calls],
    )


def _call(call: Document) -> tuple[str, ...]:
    at = call.get("at")
    moment = datetime.fromtimestamp(at).strftime("%H:%M:%S") if isinstance(at, int | float) else "?"  # noqa: DTZ006  # as the reader's clock has it
    first = call.get("first_event_s")
    return (
        moment,
        cell(call.get("route")),
        cell(call.get("tenant")),
        cell(call.get("error") or call.get("outcome")),
        cell(call.get("source")) + (" degraded" if call.get("degraded") else ""),
        cell(call.get("target")),
        "" if first is None else duration(first),
        duration(call.get("duration_s")),
        f"{cell(call.get('input_tokens'))}/{cell(call.get('output_tokens'))}",
    )
