"""Python's two clients keep every promise that a client of any language has to keep."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final

import pytest
import pytest_asyncio

from tests.conformance import vectors
from tests.conformance.driver import driving
from tests.conformance.judge import mismatches
from tests.conformance.play import play
from tests.conformance.stage import staged
from tests.conformance.vectors import Vector

MODULE: Final = "module"
Player = Callable[[Vector], Awaitable[list[str]]]
ALL = vectors.read()


@pytest_asyncio.fixture(scope=MODULE, loop_scope=MODULE, params=["python", "python-blocking"])
async def player(request: pytest.FixtureRequest) -> AsyncIterator[Player]:
    """Run each client's driver, before a simulator and daemons of its own."""
    async with driving(request.param) as driver, staged() as stage:
        yield partial(play, driver=driver, stage=stage)


@pytest.mark.asyncio(loop_scope=MODULE)
@pytest.mark.parametrize("vector", ALL, ids=[vector.name for vector in ALL])
async def test_a_vector_passes(vector: Vector, player: Player) -> None:
    """The client reports what the vector expects, and the daemon and the upstream saw it."""
    assert await player(vector) == []


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({"a": {"b": 1}}, {"a": None}),
        ([1], [1, 2]),
        ([1, 2], [1, 3]),
        ({"$matches": "^b"}, "ab"),
        ({"$matches": "b"}, None),
        ({"$once": "a"}, "aba"),
        ({"$json": {"a": 1}}, '{"a": 2}'),
        ({"$json": {"a": 1}}, "{"),
        ({"$contains": {"a": 1}}, [{"a": 2}]),
        ({"$longer": 2}, "ab"),
        ({"$at_least": 2}, "1"),
        ({"$between": [1, 2]}, 3),
        ({"$between": [1, 2]}, None),
        (None, 1),
        (True, None),
    ],
)
def test_what_differs_is_found(pattern: object, value: object) -> None:
    """Each kind of pattern refuses a value that it doesn't describe."""
    assert len(mismatches(pattern, value)) == 1


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({}, {"a": 1}),
        (7, "7"),
        (0, None),
        ({"$matches": "b.c"}, "ab\nc"),
        ({"$json": {"a": 1}}, '{"a": 1, "b": 2}'),
        ({"$contains": {"a": 1}}, [{"b": 1}, {"a": 1}]),
        ({"$at_least": 2}, "2"),
        (None, None),
    ],
)
def test_what_fits_passes(pattern: object, value: object) -> None:
    """A pattern says less than there is, and int64 is in quotes."""
    assert mismatches(pattern, value) == []


def test_an_unknown_condition_is_a_mistake() -> None:
    """A misspelt condition can't pass as a key."""
    with pytest.raises(ValueError, match=r"no condition is called \$match"):
        mismatches({"$match": "a"}, "a")
