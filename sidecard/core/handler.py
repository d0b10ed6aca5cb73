"""The one verb: a handler turns a call into a reply.

Raising means that nothing was shown to the caller; returning commits to the reply.
"""

from collections.abc import Awaitable
from typing import Protocol

from sidecard.core.call import Call
from sidecard.core.reply import Reply


class Handler(Protocol):
    """`async (Call) -> Reply`; a layer is a handler that wraps another, its `next`."""

    def __call__(self, call: Call, /) -> Awaitable[Reply]:
        """Answer `call`, or raise a `SidecardError` with nothing shown."""
        ...
