"""What the admin server is given to tell, apart from it: to load a web server takes memory."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sidecard.core.jsonio import JsonObject
from sidecard.core.ledger import UsageQuery, Used


@dataclass(slots=True)
class Told:
    """What the admin server tells: each is asked anew for every request.

    `ready` returns why the daemon takes no calls, None when it does;
    `usage` raises `LedgerFailed`;
    `metrics` takes an Accept header, and returns the page and its content type.
    """

    status: Callable[[], JsonObject]
    metrics: Callable[[str], tuple[bytes, str]]
    ready: Callable[[], str | None]
    usage: Callable[[UsageQuery], Awaitable[list[Used]]]
