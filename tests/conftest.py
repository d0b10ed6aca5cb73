"""What every test runs under: uvloop, reproducible properties, and no task left behind."""

import asyncio
import gc
import os
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable

# uvloop forks to start a process, and gRPC's hooks into forks, which run between the fork and the
# new program, now and then never came back: a test run hung, deaf to its time limit.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import hypothesis
import pytest
import pytest_asyncio
import uvloop

# Nor does the collector run there: what it finds of gRPC's waits for threads that aren't there.
os.register_at_fork(before=gc.disable, after_in_parent=gc.enable)

# A busy machine is slow by turns, so that pytest's limit for a whole test is the only one.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

GRACE_S = 0.3


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], AbstractEventLoop]]:
    """Run tests on the loop that serves."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have every asynchronous test, and no other, looked after by `no_task_is_left`."""
    for item in items:
        if pytest_asyncio.is_async_test(item):
            item.fixturenames.insert(0, no_task_is_left.__name__)


@pytest_asyncio.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Fail a test whose tasks outlive it, and the fixtures that it asked for, by 0.3 s."""
    before = asyncio.all_tasks()  # What a wider fixture runs isn't the test's.
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    pending = (await asyncio.wait(left, timeout=GRACE_S))[1] if left else set()
    if pending:
        names = "\n".join(sorted(map(repr, pending)))
        pytest.fail(f"The test left tasks running:\n{names}", pytrace=False)
