"""`sidecard cache stats | get | purge`: what a running daemon keeps of its answers."""

import argparse
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sidecard.cli import operator, secured, show
from sidecard.cli.show import UNITS_S, Document, cell, section, table

if TYPE_CHECKING:
    from sidecard_client.operator import Operator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three commands and their flags."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="stats | get | purge")
    stats = commands.add_parser("stats", help="show how much is kept, and what was lost")
    show.add_arguments(stats)
    get = commands.add_parser("get", help="show what is kept for a question, asking no model")
    get.add_argument("prompt", metavar="PROMPT", help="the question; - reads standard input")
    get.add_argument("--model", help="a route's name or a model id (default: route default)")
    get.add_argument("--system", help="instructions to the model")
    get.add_argument("--max-tokens", type=int, metavar="N", help="most tokens to write")
    get.add_argument("--tenant", help="whom the answer is for")
    get.add_argument("--namespace", default="", help="the cache's namespace")
    purge = commands.add_parser("purge", help="remove answers; needs the operator's token")
    purge.add_argument("--tenant", default="", help="those of this tenant")
    purge.add_argument("--route", default="", help="those of this route")
    purge.add_argument(
        "--older-than", type=_seconds, metavar="AGE", help="those of that age, as 90s, 15m, 12h, 7d"
    )
    purge.add_argument(
        "--everything",
        action="store_true",
        help="all of them, and the file: of others, bytes stay in its free pages until reused",
    )
    operator.add_arguments(purge)
    get.add_argument("--address", help="the daemon's gRPC (default: as sidecard call)")
    secured.add_arguments(get)


def run(arguments: argparse.Namespace) -> int:
    """Do one of the three; return 0, 1 when there is none or it failed, 2 when it can't be so."""
    if arguments.what == "stats":
        return show.show(arguments, part=lambda found: section(found, "cache"), lines=_told)
    return _get(arguments) if arguments.what == "get" else _purge(arguments)


def _told(cache: Document) -> Iterator[str]:
    why = cell(cache.get("why") or "")
    state = f"takes no entries: {why}" if why else "takes entries"
    where = "on disk" if cache.get("kind") == "disk" else "in memory"
    yield f"answers are kept {where}; the store {state}"
    yield ""
    shown = {name: cell(cache.get(name)) for name in cache if name not in ("kind", "why")}
    yield from table(("WHAT", "NUMBER"), [(n.replace("_", " "), v) for n, v in shown.items()])


def _get(arguments: argparse.Namespace) -> int:
    from sidecard_client import Client, NotCached, SidecardError  # noqa: PLC0415  # gRPC takes time

    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    try:
        with Client(arguments.address, tls=secured.tls(arguments)) as client:
            reply = client.generate(
                prompt,
                model=arguments.model,
                system=arguments.system,
                max_tokens=arguments.max_tokens,
                tenant=arguments.tenant,
                cache={"mode": "MODE_ONLY", "namespace": arguments.namespace},
            )
    except NotCached:
        return show.complain(arguments, "nothing fresh is kept for that", 1)
    except SidecardError as error:
        return show.complain(arguments, str(error), 1)
    except ValueError as error:
        return show.complain(arguments, str(error), 2)
    print(reply.text, flush=True)
    age = show.duration(reply.raw.age.seconds + reply.raw.age.nanos / 1e9)
    print(f"note: from {reply.target}, {age} ago", file=sys.stderr)
    return 0


def _purge(arguments: argparse.Namespace) -> int:
    some = arguments.tenant or arguments.route or arguments.older_than is not None
    if bool(some) is arguments.everything:
        told = "say what to remove: --tenant, --route or --older-than, or else --everything"
        return show.complain(arguments, told, 2)
    return operator.order(arguments, lambda daemon: [f"removed {_removed(arguments, daemon)}"])


def _removed(arguments: argparse.Namespace, daemon: "Operator") -> int:
    return daemon.purge_cache(
        tenant=arguments.tenant,
        route=arguments.route,
        older_than_s=arguments.older_than,
        everything=arguments.everything,
    )


def _seconds(text: str) -> float:
    """Return an age in seconds; raises ValueError, which argparse tells."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; expected as 90s, 15m, 12h or 7d")
    return float(match[1]) * UNITS_S[match[2]]
