"""`Observe`: every call is noted once, with what became of it."""

import asyncio

import pytest

from sidecard.core.call import Call
from sidecard.core.errors import UpstreamUnavailable
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Head
from sidecard.layers.observe import Observe
from tests.support.script import HEAD, OPENING, USAGE, WHOLE, Hang, Script, a_call


class Notes:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[Call, Head | None, Outcome, float]] = []

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        self.taken.append((call, head, outcome, began))


def observed(script: Script) -> tuple[Observe, Notes]:
    notes = Notes()
    return Observe(script, sink=notes, clock=script.clock), notes


async def test_a_completed_call_is_noted_at_its_end() -> None:
    """Nothing is noted while the answer comes; then once, with head, usage and times."""
    script = Script(WHOLE)
    observe, notes = observed(script)
    began = script.clock.now()
    reply = await observe(a_call())
    assert (notes.taken, observe.open) == ([], 1)
    script.clock.advance(2)
    await reply.message()
    [(call, head, outcome, noted)] = notes.taken
    assert (call, head, noted, observe.open) == (a_call(), HEAD, began, 0)
    assert (outcome.ending, outcome.usage) == (Ending.COMPLETED, USAGE)
    assert outcome.ended_at - noted == 2


async def test_a_failed_call_is_noted_with_its_error() -> None:
    """What was raised before anything was shown is noted, and what it used."""
    error = UpstreamUnavailable("down")
    observe, notes = observed(Script(error))
    call = a_call()
    call.trail.begin("claude-test", 0.0).usage = USAGE
    with pytest.raises(UpstreamUnavailable):
        await observe(call)
    [(_, head, outcome, _)] = notes.taken
    assert head is None
    assert (outcome.ending, outcome.error, outcome.usage) == (Ending.FAILED, error, USAGE)
    assert observe.open == 0


@pytest.mark.parametrize(
    ("waited_s", "ending", "error"),
    [(0, Ending.ABANDONED, "CancelledError"), (9_999, Ending.FAILED, "DeadlineExceeded")],
)
async def test_leaving_and_the_deadline_are_told_apart(
    waited_s: float, ending: Ending, error: str
) -> None:
    """Both come as a cancellation; whether the deadline has passed says which it was."""
    script = Script(Hang())
    observe, notes = observed(script)
    task = asyncio.ensure_future(observe(a_call()))
    await asyncio.sleep(0)
    script.clock.advance(waited_s)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [(_, _, outcome, _)] = notes.taken
    assert (outcome.ending, type(outcome.error).__name__) == (ending, error)


async def test_a_deadline_in_the_middle_is_no_leaving() -> None:
    """A stream that the deadline cuts is noted as that, with what it used."""
    script = Script([OPENING, Hang()])
    observe, notes = observed(script)
    task = asyncio.ensure_future((await observe(a_call())).message())
    await asyncio.sleep(0.01)
    script.clock.advance(9_999)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [(_, head, outcome, _)] = notes.taken
    assert (head, outcome.ending) == (HEAD, Ending.FAILED)
    assert type(outcome.error).__name__ == "DeadlineExceeded"
    assert outcome.usage is not None


async def test_the_repr_counts_open_calls() -> None:
    """An operator who prints the layer sees how many calls are open."""
    observe, _ = observed(Script([OPENING, *WHOLE[1:]]))
    reply = await observe(a_call())
    assert repr(observe) == "<Observe, 1 open>"
    await reply.aclose()
    assert repr(observe) == "<Observe, 0 open>"
