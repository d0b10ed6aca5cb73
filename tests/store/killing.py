"""Processes that are killed, forked by a server that has imported everything before."""

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from typing import Any, Final

FORKS: Final = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.store.victim", "tests.store.ledger_victim"])


def killed(main: Callable[..., None], *arguments: Any, seed: int) -> None:  # main's own
    """Run `main(*arguments, pipe)` and kill it some hundredths of a second after it says "open"."""
    ours, its = FORKS.Pipe()
    child = FORKS.Process(target=main, args=(*arguments, its))
    child.start()
    with ours, its:
        assert ours.recv_bytes() == b"open"
        time.sleep(random.Random(seed).uniform(0.0, 0.06))  # noqa: S311
        child.kill()
        child.join()
    assert child.exitcode == -signal.SIGKILL
