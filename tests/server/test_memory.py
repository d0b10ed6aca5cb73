"""`Memory`: when calls are refused for want of it, and what a container's limit is."""

from pathlib import Path

import pytest

from sidecard.core.errors import Overloaded
from sidecard.server.memory import Memory, most_of, private_bytes
from tests.support.clock import ManualClock


class Process:
    """A process that uses as much memory as it is told, and counts who asks."""

    def __init__(self, used: int) -> None:
        self.used, self.asked = used, 0

    def __call__(self) -> int:
        self.asked += 1
        return self.used


def looked(memory: Memory, clock: ManualClock, calls: int) -> bool:
    """Return whether a call is taken, some time after the one before."""
    clock.advance(1.0)
    try:
        memory.see_that_there_is_room(calls, "r")
    except Overloaded:
        return False
    return True


def test_calls_are_refused_until_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    """From the limit on, and until a twentieth of it is free again; each is said once."""
    caplog.set_level("INFO")
    clock, process = ManualClock(), Process(1_000)
    memory = Memory(1_000, clock=clock, used=process)
    taken = []
    for process.used in (1_000, 1_001, 2_000, 960, 950, 960):
        taken.append(looked(memory, clock, 2))
    assert taken == [True, False, False, False, True, True]
    assert [record.message for record in caplog.records] == [
        "memory is short",
        "memory suffices again",
    ]


def test_the_only_call_is_never_refused() -> None:
    """Nobody would give anything back, and the daemon would be shut for ever."""
    clock = ManualClock()
    memory = Memory(1_000, clock=clock, used=Process(5_000))
    assert looked(memory, clock, 1)
    with pytest.raises(Overloaded, match=r"listen\.max_memory_bytes") as refused:
        memory.see_that_there_is_room(2, "r")
    assert refused.value.retry_after_s == 1.0


def test_few_calls_look() -> None:
    """A burst looks once; and nobody does where any amount may be used."""
    clock, process = ManualClock(), Process(1_000)
    memory = Memory(1_000, clock=clock, used=process)
    for _ in range(100):
        memory.see_that_there_is_room(2, "r")
    assert process.asked == 1
    Memory(None, clock=clock, used=process).see_that_there_is_room(2, "r")
    assert process.asked == 1


def test_this_process_uses_some() -> None:
    """What it has of its own, which shared libraries aren't."""
    before = private_bytes()
    held = b"x" * 50_000_000
    assert 40_000_000 < private_bytes() - before < 60_000_000
    assert 1 << 20 < before < 1 << 40
    assert held


@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({}, None),
        ({"sys/fs/cgroup/memory.max": "max\n"}, None),
        ({"sys/fs/cgroup/memory.max": "1000\n"}, 900),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n"}, 1_800),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n"}, 900),
        (
            {
                "proc/self/cgroup": "9:cpu:/x\n4:memory:/a\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            900,
        ),
    ],
)
def test_a_containers_limit_is_found(
    files: dict[str, str], most: int | None, tmp_path: Path
) -> None:
    """In either version of control groups, seen from inside or from outside of it."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert most_of(None, tmp_path) == most
    assert most_of(5, tmp_path) == 5
