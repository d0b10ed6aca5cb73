"""The upstream killed and started again, as a process of its own, under steady load."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.load import ask, between, hold, status, steady, tally
from tests.chaos.test_outage import DEADLINE_S, FAST, OPEN_S, PER_S
from tests.support.daemon import environment, running, settings
from tests.support.rawserver import unused_port
from tests.support.rpc import connected


@asynccontextmanager
async def upstream(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `sidecard simulate` until the block ends, and kill it then."""
    command = (sys.executable, "-m", "sidecard", "simulate", "--port", str(port))
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert b"simulating" in await process.stdout.readline()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_upstream_comes_back() -> None:
    """Calls fail while it is gone, and within an open time after it is back none does."""
    port = unused_port()
    env = settings(f"http://127.0.0.1:{port}") | FAST
    async with running(env) as daemon, connected(daemon.address) as caller:
        async with upstream(port) as process:
            good = await ask(caller, stream=False, deadline_s=10)
            before = await steady(caller, per_s=PER_S, for_s=1, deadline_s=DEADLINE_S)
            assert all(sample.answered for sample in before), tally(before)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            down = await steady(caller, per_s=PER_S, for_s=1.5, deadline_s=DEADLINE_S)
            hold(down, texts={good.text})
            assert not any(sample.answered for sample in down[3:]), tally(down)
        async with upstream(port):
            loop = asyncio.get_running_loop()
            back = loop.time()
            after = await steady(caller, per_s=PER_S, for_s=3 * OPEN_S, deadline_s=DEADLINE_S)
            hold(after, texts={good.text})
            late = between(after, back + 1.2 * OPEN_S, back + 9)
            assert late
            assert all(sample.answered for sample in late), tally(late)
        shared = (await status(daemon.admin))["admission"]["shared"]
        assert (shared["in_flight"], shared["interactive"], shared["batch"]) == (0, 0, 0)


async def test_a_quick_restart_fails_nobody() -> None:
    """Connections that a restart left dead in the pool are retried on new ones, unseen."""
    port = unused_port()
    env = settings(f"http://127.0.0.1:{port}") | FAST
    async with running(env) as daemon, connected(daemon.address) as caller:
        async with upstream(port):
            asked = [ask(caller, stream=False, deadline_s=10) for _ in range(20)]
            before = await asyncio.gather(*asked)
            assert all(sample.answered for sample in before), tally(before)
        async with upstream(port):
            asked = [ask(caller, stream=n % 2 == 1, deadline_s=10) for n in range(20)]
            after = await asyncio.gather(*asked)
            assert all(sample.answered for sample in after), tally(after)
            assert {sample.text for sample in after} == {before[0].text}
