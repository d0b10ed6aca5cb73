"""What a process uses, as Linux counts it."""

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

_LIBRARIES: Final = ("grpcio", "protobuf", "aiohttp", "uvloop", "sidecard")
_PROC: Final = Path("/proc")
_CPUCLOCK_SCHED: Final = 2


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes: all of them, and with each shared page split among those that share it.

    `anonymous_bytes` are those of no file: what is mapped of one isn't among them.
    """

    rss_bytes: int
    pss_bytes: int
    anonymous_bytes: int = 0


def cpu_ns(pid: int) -> int:
    """Return the processor time that a process has had, user and system, all threads.

    Its CPU clock, by clock_getcpuclockid(3): exact, where /proc/PID/stat counts in 10 ms,
    and with the threads that have ended, which /proc/PID/task/*/schedstat has lost.
    """
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)


def memory(pid: int) -> Memory:
    """Return what a process holds now."""
    return parse_rollup((_PROC / str(pid) / "smaps_rollup").read_text())


def parse_rollup(text: str) -> Memory:
    """Return what a `smaps_rollup` says."""
    fields = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in text.splitlines())
        if name in ("Rss", "Pss", "Anonymous")
    }
    return Memory(fields["Rss"], fields["Pss"], fields.get("Anonymous", 0))


def parse_cpu_model(text: str) -> str:
    """Return the processor's name in the text of /proc/cpuinfo, or "unknown"."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run was made."""

    cpu: str
    cores: int
    load: str
    kernel: str
    python: str
    libraries: dict[str, str]


def machine() -> Machine:
    """Return what this machine is, with the load on it now."""
    return Machine(
        cpu=parse_cpu_model((_PROC / "cpuinfo").read_text()),
        cores=len(os.sched_getaffinity(0)),
        load=(_PROC / "loadavg").read_text().strip(),
        kernel=platform.release(),
        python=platform.python_version(),
        libraries={name: version(name) for name in _LIBRARIES},
    )
