"""Metric families that cost a call little: numbers in dictionaries, shown when somebody asks.

Those of prometheus-client take locks, look labels up slowly, and tell of every series when it
began, which doubles the page and can be turned off for the whole process only.
Measured, to count one call in them took 18 µs, and in these 4.
All of it belongs to one event loop.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

OTHER: Final = "other"
"""The label of whatever there are too many of."""

_SERIES: Final = 2_000
_SECONDS: Final = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0,
)  # fmt: skip
"""From an answer of the simulator's to ten minutes of thinking."""

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Gauge = tuple[str, dict[str, str], float]
"""A gauge's name, its labels and its value."""


class Names:
    """Names as they are, as long as there are few; later ones are all `other`.

    Callers make names up. Those that are `kept` always have their own.
    """

    def __init__(self, kept: Iterable[str] = (), *, limit: int = 100) -> None:
        self._known = set(kept)
        self._most = len(self._known) + limit

    def keep(self, names: Iterable[str]) -> None:
        """Give these names their own labels, too, beside as many others as before."""
        before = len(self._known)
        self._known.update(names)
        self._most += len(self._known) - before

    def __call__(self, name: str) -> str:
        """Return the label for a name."""
        known = self._known
        if name in known:
            return name
        if len(known) >= self._most:
            return OTHER
        known.add(name)
        return name

    def __repr__(self) -> str:
        return f"<Names, {len(self._known)} of {self._most}>"


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Spread:
    """One series of a histogram: how many in each bucket, and seconds in all."""

    __slots__ = ("counts", "sum_s")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum_s = 0.0


class Counts:
    """A counter. Of more than 2,000 series, the later ones are all `other`."""

    kind: Final = "counter"

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name, self.text, self.labels = name, text, labels
        self._series: dict[tuple[str, ...], Count] = {}

    def add(self, *key: str, by: float = 1) -> None:
        """Count `by` more, where the labels have these values; 0 shows the series."""
        count = self._series.get(key)
        if count is None:
            count = self.one(*key)
        count.value += by

    def one(self, *key: str) -> Count:
        """Return the series where the labels have these values, to be counted on directly."""
        series = self._series
        if key not in series and len(series) >= _SERIES:
            key = (OTHER,) * len(key)
        return series.setdefault(key, Count())

    def told(self) -> dict[str, float]:
        """Return each series by its labels."""
        return {" ".join(key): count.value for key, count in self._series.items()}

    def collect(self) -> Sequence[Family]:
        """Return the family with its samples."""
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for key, count in self._series.items():
            family.add_metric(key, count.value)
        return [family]

    def __repr__(self) -> str:
        return f"<Counts {self.name}, {len(self._series)} series>"


class Times:
    """A histogram of seconds, with buckets from 10 ms to ten minutes, or with those given."""

    kind: Final = "histogram"

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), bounds: Sequence[float] = _SECONDS
    ) -> None:
        self.name, self.text, self.labels = name, text, labels
        self._bounds = tuple(bounds)
        self._series: dict[tuple[str, ...], Spread] = {}

    def add(self, seconds: float, *key: str) -> None:
        """Take one duration."""
        spread = self._series.get(key)
        if spread is None:
            spread = self.one(*key)
        spread.counts[bisect_left(self._bounds, seconds)] += 1
        spread.sum_s += seconds

    def one(self, *key: str) -> Spread:
        """Return the series where the labels have these values, to be added to directly."""
        return self._series.setdefault(key, Spread(len(self._bounds) + 1))

    def told(self) -> dict[str, dict[str, object]]:
        """Return each series by its labels: seconds in all, and how many in each bucket."""
        return {
            " ".join(key): {"sum": spread.sum_s, "counts": list(spread.counts)}
            for key, spread in self._series.items()
        }

    @property
    def bounds(self) -> tuple[float, ...]:
        """The buckets' upper bounds, but for the last bucket's, which has none."""
        return self._bounds

    def collect(self) -> Sequence[Family]:
        """Return the family with its samples."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        bounds = (*map(str, self._bounds), "+Inf")
        for key, spread in self._series.items():
            below, cumulative = 0, []
            for bound, number in zip(bounds, spread.counts, strict=True):
                below += number
                cumulative.append((bound, below))
            family.add_metric(key, cumulative, spread.sum_s)
        return [family]

    def __repr__(self) -> str:
        return f"<Times {self.name}, {len(self._series)} series>"


class Level:
    """A gauge that nobody keeps up to date: it is read when it is asked for.

    One whose name ends in `_total` is a counter that another part keeps.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name, self.text, self.labels = name, text, labels
        self.kind = "counter" if name.endswith("_total") else "gauge"

    def family(self) -> CounterMetricFamily | GaugeMetricFamily:
        """Return the family without samples."""
        make = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        return make(self.name, self.text, labels=self.labels)


class Levels:
    """All the gauges, read at one moment; of targets beyond those that are named, none."""

    def __init__(
        self, gauges: Sequence[Level], read: Callable[[], Iterable[Gauge]], targets: Names
    ) -> None:
        self._gauges = gauges
        self._read = read
        self._targets = targets

    def collect(self) -> Iterable[Family]:
        """Return the families with their samples."""
        families = {gauge.name: gauge.family() for gauge in self._gauges}
        labels_of = {gauge.name: gauge.labels for gauge in self._gauges}
        for name, labels, value in self._read():
            if "target" not in labels or self._targets(labels["target"]) != OTHER:
                families[name].add_metric([labels[label] for label in labels_of[name]], value)
        return families.values()
