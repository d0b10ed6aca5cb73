"""`sidecard status`: what a running daemon says of itself, as a table."""

import argparse
from collections.abc import Iterator
from typing import Final

from sidecard.cli import budget, show
from sidecard.cli.show import Document, cell, duration, percent, section, sections, table

_MOST_BUDGETS: Final = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    show.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; return 0, 1 when nobody answers so, 2 for an address that is none."""
    return show.show(arguments, part=lambda document: document, lines=told)


def told(document: Document) -> Iterator[str]:
    """Yield the lines for people; what a daemon of another version leaves out is left out."""
    ready = document.get("ready")
    state = "ready" if ready is True else f"not ready: {cell(ready)}"
    version = cell(document.get("version"))
    yield f"sidecard {version}, {state}, up {duration(document.get('uptime_s'))}"
    yield from _configured(section(document, "config"))
    yield f"retry budget: {cell(section(document, 'retry_budget').get('left'))} left"
    yield ""
    targets = document.get("targets")
    yield from table(
        ("TARGET", "BREAKER", "FAILED", "SLOW", "CALLS", "OPENED", "NEXT PROBE", "LIMITS"),
        [_target(t) for t in targets if isinstance(t, dict)] if isinstance(targets, list) else [],
    )
    yield ""
    yield from table(
        ("PLACES", "IN FLIGHT", "INTERACTIVE", "BATCH", "REFUSED"),
        [_bulkhead(name, found) for name, found in sections(section(document, "admission"))],
    )
    budgets = section(document, "budgets")
    if budget.counted(budgets) or budgets.get("why"):
        yield ""
        yield from budget.told(budgets, most=_MOST_BUDGETS)


def _configured(config: Document) -> Iterator[str]:
    """Yield what an operator has to do about the configuration: nothing, most often."""
    problems, waiting = config.get("problems"), config.get("waiting_for_restart")
    if isinstance(problems, list) and problems:
        yield "the new configuration is refused, and the one before stays in force:"
        yield from [f"  {cell(problem)}" for problem in problems]
    if isinstance(waiting, list) and waiting:
        yield f"waits for a restart: {', '.join(map(cell, waiting))}"


def _target(target: Document) -> tuple[str, ...]:
    breaker, limits = section(target, "breaker"), section(target, "limits")
    opened, probe = breaker.get("opened_for_s"), breaker.get("retry_after_s")
    return (
        cell(target.get("target")),
        cell(breaker.get("state")).replace("_", "-"),
        percent(breaker.get("failure_rate")),
        percent(breaker.get("slow_rate")),
        cell(breaker.get("calls")),
        "" if opened is None else f"{duration(opened)} ago",
        f"in {duration(probe)}" if probe else "",
        _limits(limits),
    )


def _limits(limits: Document) -> str:
    if closed_s := limits.get("closed_s"):
        return f"closed for {duration(closed_s)}"
    levels = [
        f"{cell(name).replace('_', ' ')} {cell(found.get('room'))}/{cell(found['per_minute'])}"
        for name, found in sections(limits)
        if found.get("per_minute")
    ]
    return ", ".join(levels) or "none known"


def _bulkhead(name: str, found: Document) -> tuple[str, ...]:
    refused = section(found, "refused").items()
    return (
        cell(name or "shared"),
        f"{cell(found.get('in_flight'))} of {cell(found.get('limit'))}",
        cell(found.get("interactive")),
        cell(found.get("batch")),
        ", ".join([f"{cell(number)} {cell(why)}" for why, number in refused if number]) or "0",
    )
