"""A command of sidecard's as a process, as users run it."""

import asyncio
import sys

from tests.support.daemon import environment


async def sidecard(*arguments: str, **env: str) -> tuple[int, str, str]:
    """Run it with these settings in its environment; return its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecard", *arguments),
        env=environment(**env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()
