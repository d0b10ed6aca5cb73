"""The admitting layer, with what a test wants to know of it."""

import asyncio

from sidecard.core.handler import Handler
from sidecard.core.reply import Reply
from sidecard.layers.admit import Admit
from sidecard.policy.admission import Admission, AdmissionPolicy
from tests.support.clock import ManualClock
from tests.support.script import a_call


class Subject:
    """The layer around a handler, with what it noted."""

    def __init__(
        self,
        next_: Handler,
        clock: ManualClock | None = None,
        shared: AdmissionPolicy | None = None,
        **own: AdmissionPolicy,
    ) -> None:
        self.clock = clock or ManualClock()
        self.notes: list[object] = []
        self.layer = Admit(
            next_,
            policies=own,
            shared=shared or AdmissionPolicy(in_flight=1, queue=4),
            clock=self.clock,
            notes=self.notes.append,
        )

    @property
    def shared(self) -> Admission:
        return self.layer.bulkheads()[""]

    def calls(self, **changes: object) -> asyncio.Task[Reply]:
        """Start a call, in a task of its own."""
        return asyncio.ensure_future(self.layer(a_call(**changes)))

    def assert_idle(self) -> None:
        """Nothing runs, nothing waits, nobody is remembered."""
        for admission in self.layer.bulkheads().values():
            status = admission.status()
            keys = ("in_flight", "interactive", "batch", "tenants")
            assert [status[key] for key in keys] == [0, 0, 0, 0]
        assert self.layer._waiters == {}


async def passes(number: int) -> None:
    """Let the event loop turn so many times."""
    for _ in range(number):
        await asyncio.sleep(0)
