"""What the bench's own processes are asked to do, and tell of it: lines of JSON."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["unary", "first", "burst"]
Op: TypeAlias = Literal[
    "calls", "direct", "check", "first_answer", "hold", "let_go", "keep", "watch", "stop_keeping"
]
What: TypeAlias = Literal["decisions", "layers", "flat"]


@dataclass(frozen=True, slots=True)
class Job:
    """What to do at which port; `watch` names processes whose CPU time is counted meanwhile.

    `seconds`: between a kept call and the next in its place, or of a time in which is counted.
    """

    op: Op
    port: int = 0
    kind: Kind = "unary"
    calls: int = 1
    concurrency: int = 1
    watch: tuple[int, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Took:
    """What a job took: nanoseconds of each call, and of CPU for each one watched and ourselves.

    `answered` counts the calls that are kept up, for each of their ports.
    """

    latencies_ns: tuple[int, ...] = ()
    cpu_ns: tuple[int, ...] = ()
    own_cpu_ns: int = 0
    at_ns: int = 0
    answered: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class InsideJob:
    """What to measure, with so many loops or calls of each."""

    what: What
    times: int
