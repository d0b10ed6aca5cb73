"""Verified: a stream that is delivered as it comes, and judged before its end is.

Its last batch waits for the verdict. With a good one it goes out whole, the verdict before
`Finished`; with a bad one there is no `Finished`, so that nobody takes the stream for an answer.
"""

from typing import TYPE_CHECKING

from sidecard.core.call import Call
from sidecard.core.event import Batch, Checked, Finished
from sidecard.core.fold import Folder
from sidecard.core.reply import Reply

if TYPE_CHECKING:
    from sidecard.core.errors import InvalidOutput
    from sidecard.layers.structured import Schema, Structured


class Verified:
    """The `EventStream` over a reply of a call with a schema. Owned by one task."""

    __slots__ = ("_call", "_failed", "_folder", "_head", "_layer", "_reply", "_schema", "outer")

    def __init__(self, layer: "Structured", call: Call, reply: Reply, schema: "Schema") -> None:
        self.outer: Reply | None = None
        self._layer = layer
        self._call = call
        self._reply = reply
        self._schema = schema
        self._head = reply.head
        self._folder = Folder()
        self._failed: InvalidOutput | None = None

    async def __anext__(self) -> Batch:
        """Return the next batch; raises `InvalidOutput` after the verdict that it is one."""
        if self._failed is not None:
            raise self._failed
        batch = await self._reply.__anext__()
        self._follow_head()
        if any(type(event) is Checked for event in batch):
            # One from the cache has the verdict that it got there; it is judged like any other.
            batch = tuple([event for event in batch if type(event) is not Checked])
        self._folder.add(batch)
        return await self._judged(batch, batch[-1]) if type(batch[-1]) is Finished else batch

    async def _judged(self, batch: Batch, finished: Finished) -> Batch:
        layer, call = self._layer, self._call
        message = self._folder.message()
        verdict = await layer.judge(call, message, self._schema)
        if verdict is None:
            return batch
        target = self._reply.head.target
        if verdict.valid:
            layer.note(call, target, verdict.how.value)
            return (*batch[:-1], Checked(verdict.output_json), finished)
        layer.note(call, target, "failed")
        self._failed = layer.wrong(call, target, message, verdict)
        return (*batch[:-1], Checked(violations=verdict.violations))

    def _follow_head(self) -> None:
        head = self._reply.head
        if head is not self._head and self.outer is not None:
            self._head = head
            self.outer.follow(head)

    async def aclose(self) -> None:
        """Let go of the reply."""
        self.outer = None  # It owns this stream, and waits for no garbage collection.
        await self._reply.aclose()

    def __repr__(self) -> str:
        return f"<Verified, {'failed' if self._failed else 'not judged'}, {self._reply!r}>"
