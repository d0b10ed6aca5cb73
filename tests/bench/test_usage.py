"""What the bench reads of Linux."""

import os
import sys
import time

import pytest

from tests.bench.usage import Memory, cpu_ns, memory, parse_cpu_model, parse_rollup

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process")
ROLLUP = """\
55d0c8a00000-7ffd3b5f2000 ---p 00000000 00:00 0                          [rollup]
Rss:                6528 kB
Pss:                2560 kB
Pss_Dirty:          1111 kB
SwapPss:               7 kB
"""


def test_memory_is_read_in_bytes() -> None:
    """Of all sums only Rss and Pss count, and a kB of the kernel's has 1,024 bytes."""
    assert parse_rollup(ROLLUP) == Memory(6_528 * 1_024, 2_560 * 1_024)


@pytest.mark.parametrize(
    ("text", "model"),
    [("processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\n", "A: B"), ("Features: x", "unknown")],
)
def test_the_processor_has_a_name_or_is_unknown(text: str, model: str) -> None:
    """The first core's name is the machine's."""
    assert parse_cpu_model(text) == model


@linux
def test_the_cpu_clock_of_a_process_is_its_own() -> None:
    """It agrees with the process's own clock, and goes on as it works."""
    before, began = cpu_ns(os.getpid()), time.process_time_ns()
    while time.process_time_ns() - began < 5_000_000:
        pass
    after, now = cpu_ns(os.getpid()), time.process_time_ns()
    assert after - before >= 5_000_000
    assert abs(after - now) < 50_000_000


@linux
def test_a_process_shares_some_of_what_it_holds() -> None:
    """Its proportional size is no more than its resident size, and neither is nothing."""
    held = memory(os.getpid())
    assert 1_000_000 < held.pss_bytes <= held.rss_bytes
