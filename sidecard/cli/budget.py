"""`sidecard budget`: what is spent of each budget, what attempts hold, and when it resets.

`sidecard budget release` gives back what a process that was killed left open.
"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sidecard.cli import operator, show
from sidecard.cli.show import Document, cell, duration, number, section, table

if TYPE_CHECKING:
    from sidecard_client.operator import Operator

NANO: Final = 1_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    show.add_arguments(parser)
    commands = parser.add_subparsers(dest="what", metavar="release")
    told = "give back what killed processes left open; needs the operator's token"
    operator.add_arguments(commands.add_parser("release", help=told, description=told))


def run(arguments: argparse.Namespace) -> int:
    """Ask and print, or give the order.

    Return 0, 1 when nobody answers so, 2 for an address that is none, or without a token.
    """
    if arguments.what == "release":
        return operator.order(arguments, _released)
    return show.show(arguments, part=lambda found: section(found, "budgets"), lines=told)


def told(budgets: Document, most: int | None = None) -> Iterator[str]:
    """Yield the lines for people; with `most`, of so many accounts, those with the least left."""
    if why := budgets.get("why"):
        yield f"the ledger can't be written: {cell(why)}"
        yield ""
    yield from _left_open(budgets.get("left_open"))
    accounts = counted(budgets)
    if not accounts:
        yield "no budget counts anything yet; budgets.limits configures them"
        return
    shown = accounts if most is None else sorted(accounts, key=_left)[:most]
    yield from table(
        (
            "BUDGET",
            "OF",
            "WINDOW",
            "LIMIT",
            "SPENT",
            "RESERVED",
            "LEFT",
            "USED",
            "RESETS",
            "BEYOND",
        ),
        [_account(account) for account in shown],
    )
    if len(accounts) > len(shown):
        yield f"{len(accounts) - len(shown)} more, which have more left: sidecard budget"


def _released(daemon: "Operator") -> list[str]:
    done = daemon.release_left_open()
    return [f"released {number(done.attempts, 'attempt')}, ${done.nano_usd / NANO:,.4f}"]


def _left_open(left: object) -> Iterator[str]:
    """Yield what is taken for spent because a process was killed."""
    if isinstance(left, dict) and left.get("attempts"):
        cost = _amount("nano_usd", left.get("nano_usd"))
        one = left["attempts"] == 1
        told = f"{number(left['attempts'], 'attempt')} that killed processes left open"
        yield f"{told} {'is' if one else 'are'} in SPENT"
        they = "it" if one else "they"
        yield f"with all that {they} may have cost, {cost}: sidecard budget release gives it back"
        yield ""


def _left(account: Document) -> float:
    """Return which share of an account is left; what isn't known comes first."""
    limit, left = account.get("limit"), account.get("left")
    if isinstance(limit, int) and isinstance(left, int) and limit > 0:
        return left / limit
    return 0.0


def counted(budgets: Document) -> list[Document]:
    """Return the accounts that there are."""
    found = budgets.get("accounts")
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _account(account: Document) -> tuple[str, ...]:
    unit, limit, spent = account.get("unit"), account.get("limit"), account.get("spent")
    resets, of = account.get("resets_in_s"), account.get("of")
    share = "?"
    if isinstance(limit, int) and isinstance(spent, int):
        share = f"{100 * spent / limit:.0f} %" if limit else "-"
    return (
        cell(account.get("budget")),
        " ".join([cell(value) or "(none)" for value in of])
        if isinstance(of, list) and of
        else cell(account.get("scope")),
        cell(account.get("window")),
        *[_amount(unit, account.get(name)) for name in ("limit", "spent", "reserved", "left")],
        share,
        "-" if resets is None else f"in {duration(resets)}",
        cell(account.get("beyond")).replace("_", " "),
    )


def _amount(unit: object, amount: object) -> str:
    if not isinstance(amount, int):
        return "?"
    if unit == "nano_usd":
        return f"${amount / NANO:,.4f}"
    return f"{amount:,} {cell(unit).removesuffix('s') if amount == 1 else cell(unit)}"
