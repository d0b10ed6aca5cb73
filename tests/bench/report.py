"""What a run found, as a table for people and JSON for machines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from tests.bench.bench import Counts, Results
from tests.bench.figures import FIGURES, Figure, Row, row_of
from tests.bench.subjects import BARE, ECHO, RELAY, SIDECARD
from tests.bench.usage import Machine

REFERENCE_ECHO_US: Final = 105.0
"""CPU of a call @16 to the echo floor on the machine that set the absolute targets."""

_COLUMNS: Final = ("figure", SIDECARD, RELAY, ECHO, "sidecard / relay", "target", "verdict")
_INSIDE: Final = ("within one process", SIDECARD, BARE, "sidecard / bare", "target", "verdict")


def rows(results: Results) -> list[Row]:
    """Return a row for each figure that has been measured."""
    return [
        row_of(figure, results.rounds[figure.key])
        for figure in FIGURES
        if figure.key in results.rounds
    ]


def table(measured: Iterable[Row]) -> str:
    """Return the table, columns aligned; below it that of what is measured in one process."""
    every = list(measured)
    inside = [row for row in every if row.figure.floor == BARE]
    outside = [row for row in every if row.figure.floor != BARE]
    tables = []
    if outside:
        tables.append(_aligned([_COLUMNS, *[_cells(r, (RELAY, ECHO)) for r in outside]]))
    if inside:
        tables.append(_aligned([_INSIDE, *[_cells(r, (BARE,)) for r in inside]]))
    return "\n\n".join(tables)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(["  ".join(line).rstrip() for line in padded])


def _cells(row: Row, floors: Sequence[str]) -> Sequence[str]:
    figure, ratio = row.figure, row.ratio
    values = [_value(row, name) for name in (SIDECARD, *floors)]
    spread = f"{ratio.median:.2f} ({ratio.least:.2f} - {ratio.most:.2f})" if ratio else "-"
    return (f"{figure.title}, {figure.unit}", *values, spread, _target(figure), row.verdict)


def _value(row: Row, name: str) -> str:
    spread = row.spreads.get(name)
    return f"{spread.median:,.{row.figure.digits}f}" if spread else "-"


def _target(figure: Figure) -> str:
    match figure.of:
        case "ratio":
            return f"<= {figure.target:g} x"
        case "value":
            return f"<= {figure.target:g} {figure.unit}"
        case "nothing":
            return ""


def notes(results: Results) -> Iterator[str]:
    """Yield what has to be known to read the table."""
    yield (
        "Medians of the rounds; the ratio is taken in each round, here with its least and most. "
        "`added` has the client's own gRPC time in it, for all alike."
    )
    yield from _over_by_floor(rows(results))
    yield from _pace(rows(results))
    if any(row.figure.floor == BARE for row in rows(results)):
        yield (
            "Within one process, bare is the innermost handler without layers, with its task where "
            "it says so; for a decision, a function that does nothing. A call of the layers is all "
            "that is decided for it, with all three limits of the target."
        )
    costs = results.costs
    if own := costs.get("load_cpu_us"):
        by = ", ".join(f"{_median(own, name):,.0f} against {name}" for name in own[0])
        yield f"The load itself cost, µs of its own CPU a call @16: {by}."
        mock = costs["mock_cpu_us"]
        yield (
            f"The mock cost {_median(mock, SIDECARD):,.0f} µs a call of sidecard's, and "
            f"{_median(mock, RELAY):,.0f} of the relay's."
        )
    for kind, what in (("unary", "an answer"), ("first", "a first delta")):
        if base := costs.get(f"{kind}_direct_ms"):
            yield f"From the mock itself {what} takes {_median(base, 'mock'):.3f} ms."


def _over_by_floor(measured: Iterable[Row]) -> Iterator[str]:
    """Yield a warning for each absolute target that this machine's floor is over."""
    for row in measured:
        floor = row.spreads.get(RELAY)
        if row.figure.of == "value" and floor and floor.median > row.figure.target:
            yield (
                f"On this machine the relay itself is over the target of «{row.figure.title}»: "
                "read the ratio."
            )


def _pace(measured: Iterable[Row]) -> Iterator[str]:
    """Yield how this machine compares with the one on which absolute targets were set."""
    for row in measured:
        if row.figure.key == "unary_cpu" and (echo := row.spreads.get(ECHO)):
            factor = echo.median / REFERENCE_ECHO_US
            yield (
                f"An echo call cost {factor:.1f} x the {REFERENCE_ECHO_US:g} µs of where and when "
                "the targets were set: absolute times compare with nothing but this run's floors."
            )


def _median(rounds: Sequence[Mapping[str, float]], name: str) -> float:
    return median([each[name] for each in rounds])


def as_json(results: Results, machine: Machine, counts: Counts) -> dict[str, Any]:
    """Return everything, the rounds included."""
    return {
        "machine": asdict(machine),
        "counts": asdict(counts),
        "figures": {row.figure.key: _row_json(row) for row in rows(results)},
        "rounds": results.rounds,
        "costs": results.costs,
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "title": row.figure.title,
        "unit": row.figure.unit,
        "subjects": {name: asdict(spread) for name, spread in row.spreads.items()},
        "ratio": asdict(row.ratio) if row.ratio else None,
        "floor": row.figure.floor,
        "limits": row.figure.of,
        "target": row.figure.target,
        "verdict": row.verdict,
    }
