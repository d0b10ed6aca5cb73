"""All layers under anything that upstreams and callers can do, in any order."""

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.core.call import Mode, Priority
from sidecard.core.errors import DeadlineExceeded
from sidecard.core.fold import fold
from sidecard.core.outcome import Ending
from sidecard.core.reply import Source
from tests.composition.world import (
    ENDS,
    FAULTS,
    SETTLED,
    Act,
    Asked,
    Caller,
    Leave,
    Turn,
    World,
    text_of,
)

MOST_CALLS = 12


@dataclass(frozen=True)
class Jump:
    """The wall clock is set: to summer time and back, by a day, over 29 February."""

    by_s: float


Step: TypeAlias = Asked | Turn | Leave | Jump
MOMENTS = st.sampled_from([0.2, 1.0, 2.5, 6.0, 15.0])
ACTS = st.builds(
    Act,
    after_s=st.sampled_from([0.0, 0.0, 0.5, 3.0, 6.0]),
    what=st.sampled_from(["hang", *ENDS, *ENDS, *FAULTS]),
)
ASKED = st.builds(
    Asked,
    route=st.integers(0, 1),
    tenant=st.sampled_from(["one", "other"]),
    mode=st.sampled_from(Mode),
    priority=st.sampled_from(Priority),
    within_s=st.sampled_from([40.0, 15.0, 4.0, 0.4]),
    pause_s=st.sampled_from([0.0, 0.0, 2.0]),
    reads=st.sampled_from([-1, -1, -1, 0, 1]),
    schema=st.booleans(),
)
STEPS = st.one_of(
    *[ASKED] * 4,
    *[
        st.builds(Turn, MOMENTS, st.booleans(), passes)
        for passes in (st.just(SETTLED), st.integers(0, 8))
    ],
    st.builds(Leave, st.integers(0, MOST_CALLS - 1)),
)

JUMPS = st.builds(Jump, st.sampled_from([-3_600.0, 3_600.0, 86_400.0, -86_400.0, 7e7, -0.5]))


async def play(world: World, steps: list[Step]) -> None:
    for step in steps:
        if isinstance(step, Turn):
            await world.turn(step)
        elif isinstance(step, Leave):
            world.leave(step)
        elif isinstance(step, Jump):
            world.clock.step_wall(step.by_s)
        elif len(world.callers) < MOST_CALLS:
            world.ask(step)
            await asyncio.sleep(0)  # Who leaves before the first step of its task asked nothing.
    await world.end()


def judge(world: World, caller: Caller) -> None:
    """Assert what everybody who asks may rely on."""
    call = caller.call
    (outcome,) = world.parts.ends[call.request_id]
    assert world.upstream.sent[call.request_id] == call.trail.sent <= call.route.max_attempts
    if caller.finished:
        message = fold(caller.batches)
        assert outcome.ending is Ending.COMPLETED
        assert message.content == ({"type": "text", "text": caller.expected},)
        assert message.output_json == ("" if call.output_schema is None else caller.expected)
        if caller.source is not Source.STATIC:
            assert text_of(call, caller.numbers[-1]) in world.upstream.whole
    elif caller.task.cancelled():
        passed = isinstance(outcome.error, DeadlineExceeded)
        assert outcome.ending is (Ending.FAILED if passed else Ending.ABANDONED)
        assert passed == (outcome.ended_at >= call.deadline) or caller.idle
    elif (error := caller.task.exception()) is not None:
        assert (outcome.ending, outcome.error) == (Ending.FAILED, error)
    else:
        assert outcome.ending is Ending.ABANDONED


@settings(max_examples=300)
@given(st.lists(ACTS, min_size=4, max_size=30), st.lists(STEPS, min_size=8, max_size=40))
async def test_nothing_is_lost_or_left(acts: list[Act], steps: list[Step]) -> None:
    """Each call ends once, by its deadline, and whole if it says so; then nothing is held.

    Whoever wanted their answers: the attempts that were made are those that are paid for.
    """
    world = await lived(acts, steps)
    wall = world.clock.wall()
    spent = {found.budget.name: found.spent for found in world.parts.ledger.standings(wall)}
    assert spent.get("bites", 0) <= 9_000
    assert spent.get("counts", 0) == world.upstream.sent.total()


@settings(max_examples=200)
@given(
    st.lists(ACTS, min_size=4, max_size=30),
    st.lists(st.one_of(STEPS, STEPS, JUMPS), min_size=8, max_size=40),
)
async def test_a_wall_clock_that_is_set_delays_nobody(acts: list[Act], steps: list[Step]) -> None:
    """Deadlines, waits and breakers go by another clock: all of that holds, wherever it jumps."""
    await lived(acts, steps)


async def lived(acts: list[Act], steps: list[Step]) -> World:
    """Return a world that was gone through to its end, and left nothing."""
    before = asyncio.all_tasks()
    world = World(acts)
    await play(world, steps)
    for caller in world.callers:
        judge(world, caller)
    assert sorted(world.parts.ends) == sorted([c.call.request_id for c in world.callers])
    assert (world.held(), world.clock.timers) == (0, 0)
    assert [stream.closed for stream in world.upstream.streams if stream.closed != 1] == []
    assert world.upstream.most <= world.parts.places.in_flight
    assert world.upstream.late == []
    assert asyncio.all_tasks() == before
    return world
