"""What an admin server is given to tell where no daemon is behind it."""

from collections.abc import Callable

from sidecard.core.clock import SystemClock
from sidecard.core.jsonio import JsonObject
from sidecard.server.told import Told
from sidecard.store.ledger_memory import MemoryBook


def told(
    status: Callable[[], JsonObject] = dict,
    metrics: Callable[[str], tuple[bytes, str]] = lambda _: (b"", "text/plain"),
    ready: Callable[[], str | None] = lambda: None,
) -> Told:
    """Return these, and that nothing was used."""
    return Told(status, metrics, ready, MemoryBook(SystemClock()).usage)
