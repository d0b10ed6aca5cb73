"""The figures, their targets, and the arithmetic from rounds to verdicts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal, TypeAlias

from tests.bench.subjects import RELAY, SIDECARD

Group: TypeAlias = Literal["unary", "first", "burst", "memory", "start", "streams"]
Round: TypeAlias = Mapping[str, float]
"""One measurement of each subject, one right after the other."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is measured. `of`: what the target limits; without one it is for reading."""

    key: str
    group: Group
    title: str
    unit: str
    digits: int
    of: Literal["ratio", "value", "nothing"] = "nothing"
    target: float = 0.0


FIGURES: Final = (
    Figure("unary_cpu", "unary", "unary, CPU per call @16", "µs", 0, "ratio", 1.35),
    Figure("unary_added", "unary", "unary, added p50 @1", "ms", 3, "ratio", 1.3),
    Figure("first_added", "first", "first delta, added p50 @1", "ms", 3, "ratio", 1.3),
    Figure("burst_cpu", "burst", "burst of 200, CPU per delta", "µs", 2, "value", 7.0),
    Figure("idle_rss", "memory", "idle memory, RSS", "MB", 1, "value", 65.0),
    Figure("idle_pss", "memory", "idle memory, PSS", "MB", 1),
    Figure("start", "start", "start to first answer", "s", 3, "value", 0.8),
    Figure("stream_rss", "streams", "1,000 open streams, RSS each", "KB", 1, "value", 60.0),
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
    if not {SIDECARD, RELAY} <= spreads.keys():
        return Row(figure, spreads, None)
    ratios = [each[SIDECARD] / each[RELAY] for each in rounds]
    return Row(figure, spreads, Spread.of(ratios))
