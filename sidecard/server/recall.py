"""Requests that come again: what is asked in the same bytes needn't be decoded again.

Who asks what was asked before, which is what a cache is for, mostly sends the same bytes.
Bounded by entries and by the size of each, so by 2 MiB in all and what is made of them.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from sidecard.core.call import Call
from sidecard.v1 import generation_pb2 as pb

if TYPE_CHECKING:
    from sidecard.core.message import Message
    from sidecard.core.ports import Again

_ENTRIES: Final = 256
_BYTES: Final = 8_192


class Recalled:
    """A call as it was decoded, its key in the cache, and the last answer to it, encoded.

    `about` is what was told of that answer, with whose head, and `durations` are those in it that
    differ each time; `again` gives it another time.
    """

    __slots__ = ("about", "again", "call", "durations", "encoded", "key", "message")

    def __init__(self, call: Call, key: bytes) -> None:
        self.call = call
        self.key = key
        self.message: Message | None = None
        self.again: Again | None = None
        self.encoded = b""
        self.about = about = pb.GenerateResponse()
        self.durations = about.timings.total, about.timings.first_event, about.age


class Recall:
    """State: the requests that came last. Safe within one event loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Recalled] = OrderedDict()

    def get(self, payload: bytes) -> Recalled | None:
        """Return what is known of a request, None for another one."""
        known = self._known.get(payload)
        if known is not None:
            self._known.move_to_end(payload)
        return known

    def keep(self, payload: bytes, call: Call, key: bytes) -> Recalled:
        """Remember a request, unless it is large."""
        made = Recalled(call, key)
        if len(payload) <= _BYTES:
            self._known[payload] = made
            if len(self._known) > _ENTRIES:
                self._known.popitem(last=False)
        return made

    def forget(self) -> None:
        """Forget all of them, as when answers are removed that are remembered here."""
        self._known.clear()

    def __repr__(self) -> str:
        return f"<Recall, {len(self._known)} requests>"
