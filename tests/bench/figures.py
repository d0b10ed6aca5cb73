"""The figures, their targets, and the arithmetic from rounds to verdicts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal, TypeAlias

from tests.bench.subjects import BARE, ECHO, FEW, RELAY, SIDECARD

Group: TypeAlias = Literal[
    "unary",
    "first",
    "burst",
    "memory",
    "start",
    "streams",
    "waiting",
    "hit",
    "kept",
    "decisions",
    "layers",
    "flat",
]
Round: TypeAlias = Mapping[str, float]
"""One measurement of each subject, one right after the other."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is measured. `of`: what the target limits; without one it is for reading.

    `floor` is what the ratio is to: the relay, or in one process what does the least there.
    """

    key: str
    group: Group
    title: str
    unit: str
    digits: int
    of: Literal["ratio", "value", "nothing"] = "nothing"
    target: float = 0.0
    floor: str = RELAY


def _decision(key: str, title: str) -> Figure:
    return Figure(key, "decisions", title, "µs", 2, "value", 5.0, BARE)


FIGURES: Final = (
    Figure("unary_cpu", "unary", "unary, CPU per call @16, all layers", "µs", 0, "ratio", 1.5),
    Figure("unary_added", "unary", "unary, added p50 @1", "ms", 3, "ratio", 1.3),
    Figure("first_added", "first", "first delta, added p50 @1", "ms", 3, "ratio", 1.3),
    Figure("burst_cpu", "burst", "burst of 200, CPU per delta", "µs", 2, "value", 7.0),
    Figure("idle_rss", "memory", "idle memory, RSS", "MB", 1, "value", 65.0),
    Figure("idle_pss", "memory", "idle memory, PSS", "MB", 1),
    Figure("start", "start", "start to first answer", "s", 3, "value", 0.8),
    Figure("stream_rss", "streams", "1,000 open streams, RSS each", "KB", 1, "value", 60.0),
    Figure("waiting_few", "waiting", "300 calls/s, CPU per call @16", "µs", 0),
    Figure("waiting_many", "waiting", "300 calls/s, CPU per call @2,000", "µs", 0),
    Figure("waiting_flat", "waiting", "300 calls/s, @2,000 / @16", "times", 2, "value", 1.3),
    Figure("hit_cpu", "hit", "cache hit, CPU per call @16", "µs", 0, "ratio", 1.3, ECHO),
    Figure("hit_time", "hit", "cache hit, time per call @16", "µs", 0, "ratio", 1 / 0.75, ECHO),
    Figure("kept_cpu", "kept", "cache hit, 1,000,000 kept / 1,000", "µs", 0, "ratio", 1.15, FEW),
    Figure("kept_memory", "kept", "1,000,000 kept, memory beside the map", "MB", 1, "value", 20.0),
    _decision("breaker", "breaker: ask, succeeded; each"),
    _decision("gate_passes", "gate, 3 limits: need, wait_s, take; together"),
    _decision("gate_told", "gate, 3 limits: answered"),
    _decision("gate_settled", "gate, 3 limits: ended"),
    Figure("gate_attempt", "decisions", "gate, 3 limits: all five", "µs", 2, floor=BARE),
    _decision("line_waits", "line, 1,000 waiting: come, go; each"),
    _decision("admission_free", "admission, nobody waiting: enter, leave; each"),
    _decision("admission_queued", "admission, 1,000 waiting: enter, leave; each"),
    _decision("admission_refused", "admission, 1,000 waiting, full: enter, refused"),
    _decision("admission_displaced", "admission, 1,000 waiting, full: displace, leave, come; each"),
    _decision("verdict", "backoff: verdict"),
    _decision("retry_budget", "retry budget: deposit, withdraw; each"),
    _decision("latency_record", "latency: record"),
    _decision("latency_quantile", "latency: quantile"),
    _decision("adaptive", "adaptive limit: succeeded, limit"),
    Figure("layers_unary", "layers", "layers, unary call", "µs", 1, floor=BARE),
    Figure("layers_everything", "layers", "the same, hedging and adapting", "µs", 1, floor=BARE),
    Figure("layers_stream", "layers", "layers, stream of 200, each delta", "µs", 2, floor=BARE),
    Figure("layers_continued", "layers", "the same, to be continued", "µs", 2, floor=BARE),
    Figure("flat_1", "flat", "layers and task, call @1", "µs", 1, floor=BARE),
    Figure("flat_16", "flat", "layers and task, call @16", "µs", 1, floor=BARE),
    Figure("flat_256", "flat", "layers and task, call @256", "µs", 1, floor=BARE),
    Figure("flat_2000", "flat", "layers and task, call @2,000", "µs", 1, floor=BARE),
    Figure("flat", "flat", "layers and task, @2,000 / @1", "times", 2, "value", 1.3, BARE),
    Figure("flat_net", "flat", "layers less floor, @2,000 / @1", "times", 2, "value", 1.3, BARE),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and the extremes."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """A figure, measured: each subject's spread, the ratio's, and how it stands to the target."""

    figure: Figure
    spreads: Mapping[str, Spread]
    ratio: Spread | None

    @property
    def excess(self) -> float:
        """By which part of the target the figure is over it; 0 or less: met. The median counts."""
        measured = {
            "ratio": self.ratio,
            "value": self.spreads.get(SIDECARD),
            "nothing": None,
        }[self.figure.of]
        return measured.median / self.figure.target - 1 if measured else 0.0

    @property
    def verdict(self) -> str:
        if self.figure.of == "nothing":
            return ""
        return f"missed by {self.excess:.1%}" if self.excess > 0 else f"met by {-self.excess:.1%}"


def row_of(figure: Figure, rounds: Sequence[Round]) -> Row:
    """Put a figure's rounds together. The ratio is taken within each round, the median after."""
    names = [name for name in rounds[0] if all(name in each for each in rounds)]
    spreads = {name: Spread.of([each[name] for each in rounds]) for name in names}
    if not {SIDECARD, figure.floor} <= spreads.keys():
        return Row(figure, spreads, None)
    ratios = [each[SIDECARD] / each[figure.floor] for each in rounds]
    return Row(figure, spreads, Spread.of(ratios))
