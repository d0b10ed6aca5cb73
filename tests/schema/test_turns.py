"""`Turns`: one at a time, and a tenant that floods leaves the others theirs."""

import asyncio

from sidecard.schema.turns import Turns


async def hold(turns: Turns, whose: str, order: list[str]) -> None:
    async with turns.of(whose):
        order.append(whose)
        await asyncio.sleep(0)


async def test_each_tenant_has_its_turn() -> None:
    """However many of another's were there before; those of one go in their order."""
    turns, order = Turns(), list[str]()
    async with turns.of("a"):
        names = ["a", "a", "a", "b", "a", "b", "c"]
        tasks = [asyncio.ensure_future(hold(turns, name, order)) for name in names]
        await asyncio.sleep(0)
        assert order == []
        assert repr(turns) == "<Turns, taken, 7 waiting>"
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "a", "b", "a", "a"]
    assert repr(turns) == "<Turns, free, 0 waiting>"


async def test_who_leaves_holds_nobody_up() -> None:
    """While it waits, and at the moment when it is its turn."""
    turns, order = Turns(), list[str]()
    async with turns.of("a"):
        tasks = [asyncio.ensure_future(hold(turns, name, order)) for name in "bcd"]
        await asyncio.sleep(0)
        tasks[0].cancel()
    tasks[1].cancel()  # It was given the turn, and doesn't know yet.
    await asyncio.wait(tasks)
    assert order == ["d"]
    await hold(turns, "e", order)
    assert (order, repr(turns)) == (["d", "e"], "<Turns, free, 0 waiting>")
