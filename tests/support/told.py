"""What an admin server is given to tell where no daemon is behind it."""

from collections.abc import Awaitable, Callable

from sidecard.core.clock import SystemClock
from sidecard.core.jsonio import JsonObject
from sidecard.core.ledger import UsageQuery, Used
from sidecard.server.told import Told
from sidecard.store.ledger_memory import MemoryBook


def told(
    status: Callable[[], JsonObject] = dict,
    metrics: Callable[[str], tuple[bytes, str]] = lambda _: (b"", "text/plain"),
    ready: Callable[[], str | None] = lambda: None,
    usage: Callable[[UsageQuery], Awaitable[list[Used]]] | None = None,
) -> Told:
    """Return these, and that nothing was used if nothing else is given."""
    return Told(status, metrics, ready, usage or MemoryBook(SystemClock()).usage)
