"""`sidecard serve`: the daemon."""

import argparse
import logging
import os
import sys
from functools import partial

import uvloop

from sidecard.cli import configured
from sidecard.policy.redaction import Redactor
from sidecard.telemetry import log
from sidecard.telemetry.writer import LogWriter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    configured.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal; 2 when the configuration or the address is no good."""
    env = dict(os.environ)
    plan = configured.plan(arguments, env)
    if plan is None:
        return 2
    settings = plan.loaded.config.log
    writer = LogWriter(sys.stderr.fileno())
    as_json = log.configure(
        settings.level,
        settings.format,
        writer,
        terminal=sys.stderr.isatty(),
        redact=Redactor(plan.loaded.config.redaction.patterns),
    )
    # Imported only now: a mistake in the configuration is told without the wait for gRPC.
    from sidecard.daemon import serve  # noqa: PLC0415
    from sidecard.server.address import AddressError  # noqa: PLC0415
    from sidecard.server.bad_files import BadTokens  # noqa: PLC0415
    from sidecard.server.descriptors import make_room  # noqa: PLC0415
    from sidecard.upstream.transport import Misconfigured  # noqa: PLC0415

    listen = plan.loaded.config.listen
    make_room(listen.connections, addresses=1 if listen.http is None else 2)
    again = partial(configured.read, arguments, env)
    try:
        return uvloop.run(serve(plan, again, env, as_json=as_json))
    except (AddressError, BadTokens, Misconfigured) as error:
        logging.getLogger(__name__).debug("not started", exc_info=error)
        print(f"sidecard: {error}", file=sys.stderr)
        return 2
    finally:
        writer.close()
        _let_go_of_the_log()


def _let_go_of_the_log() -> None:
    """Keep Python from failing at its exit, with status 120, over a log that nobody reads."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
