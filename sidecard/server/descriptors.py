"""File descriptors: as many as the connections that are taken need, as far as the system lets us.

Shells and systemd start programs with 1,024 of them, for the sake of select(2), and let them have
more. Without, a thousand idle callers would keep the daemon from reaching its upstream.
"""

import logging
import resource
from typing import Final

_OWN: Final = 1_024
"""For files, the log, and one connection to the upstream for each call that runs."""

_log: Final = logging.getLogger(__name__)


def make_room(connections: int, *, addresses: int) -> None:
    """Raise the soft limit to what so many connections at each address need; say if it's less."""
    wanted = connections * addresses + _OWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        facts = {"allowed": allowed, "wanted": wanted}
        why = "connections may use them up; raise `ulimit -Hn`, or lower listen.connections"
        _log.warning("few file descriptors", extra={**facts, "why": why})
