"""How many connections aiohttp holds, which it tells nobody: tests hold the private names."""

from collections.abc import Iterable

import aiohttp


def connections(sessions: Iterable[object]) -> int:
    """Return how many are open, or being opened, in all: those in use and those kept for later.

    What is no session, as before the first request there may be none, has none.
    """
    number = 0
    for session in sessions:
        if isinstance(session, aiohttp.ClientSession) and session.connector is not None:
            used, kept = session.connector._acquired, session.connector._conns  # noqa: SLF001
            number += len(used) + sum(map(len, kept.values()))
    return number
