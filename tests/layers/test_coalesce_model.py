"""`Coalesce` against what it amounts to, in any order of asking, reading, leaving and failing."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecard.core.call import Mode
from tests.support.flight_model import World

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["ask", "ask", "ask", "read", "read", "read", "leave", "send", "send", "finish", "fail"]
        ),
        st.integers(0, 7),
    ),
    max_size=30,
)


def step(world: World, what: str, number: int) -> None:
    """Do one thing to one of the callers, or to one of the flights."""
    if what == "ask":
        world.ask(Mode.UNARY if number % 3 == 0 else Mode.STREAM)
    elif what in ("read", "leave") and world.askers:
        getattr(world, what)(world.askers[-1 - number % len(world.askers)])
    elif what in ("send", "finish", "fail") and (plan := world.current):
        getattr(world, what)(plan)


async def play(steps: list[tuple[str, int]]) -> None:
    before = asyncio.all_tasks()
    world = World()
    for what, number in steps:
        step(world, what, number)
        await world.check()
    for asker in world.askers:
        world.leave(asker)
    await world.check()
    assert world.coalesce.flights == 0
    assert asyncio.all_tasks() == before


@settings(max_examples=500)
@given(_STEPS)
def test_each_gets_what_its_flight_was_sent(steps: list[tuple[str, int]]) -> None:
    """Whoever stays gets exactly that, as far as it reads; whoever leaves leaves nothing."""
    asyncio.run(play(steps))
