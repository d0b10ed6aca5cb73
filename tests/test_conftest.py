"""The surroundings of every test do what they promise."""

import asyncio
from pathlib import Path

import pytest
import uvloop

pytest_plugins = ["pytester"]

LEAKS = """
import asyncio

async def test_leaks() -> None:
    asyncio.get_running_loop().leaked = asyncio.create_task(asyncio.sleep(30), name="the leak")

async def test_tidy() -> None:
    await asyncio.create_task(asyncio.sleep(0))

def test_synchronous() -> None:
    pass
"""


async def test_tests_run_on_the_loop_that_serves() -> None:
    """An asynchronous test runs on uvloop."""
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


def test_a_task_left_behind_fails_its_test(pytester: pytest.Pytester) -> None:
    """A test that leaves a task running errs, and is told which; others pass."""
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    pytester.makepyfile(LEAKS)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["The test left tasks running:", "*the leak*"])
