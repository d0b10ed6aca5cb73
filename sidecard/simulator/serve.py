"""Serves the simulator until told to stop: what `sidecard simulate` runs."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from sidecard.simulator.pace import Pace
from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    script_path: Path | None = None,
    pace: Pace | None = None,
    keys: Sequence[str] = (),
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until cancelled; `on_ready` is given the `base_url` once connections are accepted.

    `keys` are the API keys that are accepted; none named: any.

    Raises `ScriptError` for a bad script and OSError when the port is taken.
    """
    script = Script() if script_path is None else await asyncio.to_thread(Script.load, script_path)
    async with Simulator(script, pace=pace, host=host, port=port) as simulator:
        simulator.accept(*keys)
        if on_ready is not None:
            on_ready(simulator.base_url)
        await asyncio.Event().wait()
