"""The rate limit's layer on a bench: its gate, its clock and its notes at hand."""

import asyncio

from sidecard.core.call import Call
from sidecard.core.errors import UpstreamThrottled
from sidecard.core.handler import Handler
from sidecard.core.note import Note
from sidecard.core.reply import Reply
from sidecard.layers.rate_limit import RateLimit
from sidecard.policy.gate import Gate, LimitsPolicy
from tests.support.clock import ManualClock
from tests.support.script import TARGET, Script, a_call


class Bench:
    """The layer over a script of answers, with the gate, the clock and the notes at hand."""

    def __init__(self, next_: Handler | None = None, **policy: object) -> None:
        self.clock = ManualClock()
        self.gate = Gate(LimitsPolicy(**policy))  # type: ignore[arg-type]
        self.notes = list[Note]()
        self.asked: list[str] = []
        self.layer = RateLimit(
            next_ or Script(),
            gate_of=self._gate_of,
            notes=self.notes.append,
            clock=self.clock,
        )

    def _gate_of(self, target: str) -> Gate:
        self.asked.append(target)
        return self.gate

    def room(self, kind: str = "requests") -> object:
        status = self.gate.status(self.clock.now())[kind]
        assert isinstance(status, dict)
        return status["room"]

    @property
    def in_flight(self) -> object:
        return self.gate.status(self.clock.now())["in_flight"]

    def start(self, **changes: object) -> asyncio.Task[Reply]:
        call = a_call(**{"deadline": self.clock.now() + 600, **changes})
        return asyncio.ensure_future(_layer(self.layer, call))

    async def turn(self, seconds: float = 0.0) -> None:
        """Let everybody go as far as they can, turn the clock, and let them go on."""
        await settle()
        self.clock.advance(seconds)
        await settle()


async def _layer(layer: Handler, call: Call) -> Reply:
    return await layer(call)


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def scripted(*acts: object, **policy: object) -> tuple[Bench, Script]:
    script = Script(*acts)  # type: ignore[arg-type]
    return Bench(script, **policy), script


def throttled(retry_after_s: float | None) -> UpstreamThrottled:
    error = UpstreamThrottled("slow down", retry_after_s=retry_after_s, target=TARGET.name)
    error.status = 429
    return error


async def drop(*tasks: asyncio.Task[Reply]) -> None:
    """Take and close what came of the tasks."""
    for task in tasks:
        await (await task).aclose()


async def waiting_three(bench: Bench) -> list[asyncio.Task[Reply]]:
    """Fill the bucket of 60 a minute and have three calls wait, a second for each."""
    bench.gate.take(bench.gate.need(a_call())._replace(requests=60), bench.clock.now())
    tasks = [bench.start(request_id=name) for name in "abc"]
    await bench.turn()
    return tasks
