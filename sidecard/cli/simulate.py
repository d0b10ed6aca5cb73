"""`sidecard simulate`: the simulated upstream on its own, for demos and for tests."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=int, default=7414, help="0 takes a free one (7414)")
    parser.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help="refuse every other one, with 401; may be repeated (default: any is taken)",
    )
    parser.add_argument("--script", type=Path, help="a file of faults: see docs/simulator.md")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal; 2 for a script or an address that is no good."""
    return uvloop.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> int:
    # aiohttp's web server is for this command only.
    from sidecard.simulator.script import ScriptError  # noqa: PLC0415
    from sidecard.simulator.serve import serve  # noqa: PLC0415

    def ready(base_url: str) -> None:
        print(f"simulating on {base_url}", flush=True)

    serving = asyncio.ensure_future(
        serve(
            arguments.host,
            arguments.port,
            script_path=arguments.script,
            keys=arguments.api_key,
            on_ready=ready,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        return 0
    except (ScriptError, OSError) as error:
        print(f"sidecard simulate: {error}", file=sys.stderr)
        return 2
    return 0
