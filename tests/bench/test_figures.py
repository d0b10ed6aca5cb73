"""The arithmetic from rounds to verdicts, and the table that shows them."""

import pytest

from tests.bench import report
from tests.bench.bench import Counts, Results
from tests.bench.figures import FIGURES, Figure, Spread, row_of
from tests.bench.subjects import BARE, ECHO, RELAY, SIDECARD
from tests.bench.usage import Machine

RATIO = Figure("k", "unary", "a title", "µs", 0, "ratio", 1.35)
VALUE = Figure("k", "start", "a title", "s", 2, "value", 0.8)
MACHINE = Machine("a cpu", 2, "0.1", "6", "3.11", {})


def test_a_spread_is_the_median_and_the_extremes() -> None:
    """One wild round moves the extremes alone."""
    assert Spread.of([3.0, 1.0, 2.0, 900.0, 2.5]) == Spread(2.5, 1.0, 900.0)


def test_the_ratio_is_taken_within_each_round() -> None:
    """A machine that is slow in one round is slow for both, and the ratio stays."""
    rounds = [{SIDECARD: 120.0, RELAY: 100.0}, {SIDECARD: 1_200.0, RELAY: 1_000.0}]
    assert row_of(RATIO, rounds).ratio == Spread(1.2, 1.2, 1.2)


def test_without_the_relay_there_is_no_ratio() -> None:
    """A figure of the daemon alone has its spread, and neither ratio nor miss."""
    row = row_of(RATIO, [{SIDECARD: 1.0, ECHO: 1.0}])
    assert (row.ratio, row.excess, set(row.spreads)) == (None, 0.0, {SIDECARD, ECHO})


@pytest.mark.parametrize(
    ("figure", "sidecard", "excess"),
    [(RATIO, 148.5, 0.1), (RATIO, 135.0, 0.0), (VALUE, 1.2, 0.5), (VALUE, 0.4, -0.5)],
)
def test_a_figure_is_over_its_target_by_a_part_of_it(
    figure: Figure, sidecard: float, excess: float
) -> None:
    """A ratio is held against the target of ratios, a value against that of values."""
    row = row_of(figure, [{SIDECARD: sidecard, RELAY: 100.0}])
    assert row.excess == pytest.approx(excess)
    assert row.verdict.startswith("missed") == (excess > 0)


def test_every_figure_has_a_target_but_those_for_reading() -> None:
    """No figure is met because somebody forgot its target."""
    assert all((figure.of == "nothing") == (figure.target == 0) for figure in FIGURES)
    assert len({figure.key for figure in FIGURES}) == len(FIGURES)


def results() -> Results:
    measured = Results()
    measured.add("unary_cpu", {SIDECARD: 1_650.0, RELAY: 1_000.0, ECHO: 500.0})
    measured.add("burst_cpu", {SIDECARD: 9.0, RELAY: 8.0})
    measured.add_cost("load_cpu_us", {SIDECARD: 300.0, RELAY: 200.0, ECHO: 100.0})
    measured.add_cost("mock_cpu_us", {SIDECARD: 30.0, RELAY: 20.0, ECHO: 10.0})
    return measured


def test_the_table_has_a_line_for_each_measured_figure() -> None:
    """A line has the values, the ratio, the target, and by how much it was missed."""
    lines = report.table(report.rows(results())).splitlines()
    assert len(lines) == 4
    for cell in ("1,650", "1,000", "500", "1.65 (1.65 - 1.65)", "<= 1.5 x", "missed by 10.0%"):
        assert cell in lines[2]


def test_what_is_measured_in_one_process_has_a_table_of_its_own() -> None:
    """There the floor is another, and the ratio is to that."""
    measured = results()
    measured.add("breaker", {SIDECARD: 5.5, BARE: 0.05})
    _, _, inside = report.table(report.rows(measured)).partition("\n\n")
    for cell in ("5.50", "0.05", "110.00 (110.00 - 110.00)", "<= 5 µs", "missed by 10.0%"):
        assert cell in inside.splitlines()[2]
    assert BARE in inside.splitlines()[0]
    assert report.as_json(measured, MACHINE, Counts())["figures"]["breaker"]["floor"] == BARE


def test_the_notes_tell_what_the_bench_itself_cost() -> None:
    """The load's and the mock's cost are said, and which floor is over an absolute target."""
    notes = "\n".join(report.notes(results()))
    assert "300 against sidecard" in notes
    assert "30 µs a call of sidecard's" in notes
    assert "relay itself is over the target of «burst of 200, CPU per delta»" in notes


def test_the_document_keeps_every_round() -> None:
    """What was measured can be computed again from the JSON."""
    document = report.as_json(results(), MACHINE, Counts())
    assert document["rounds"]["burst_cpu"] == [{SIDECARD: 9.0, RELAY: 8.0}]
    assert document["figures"]["burst_cpu"]["ratio"]["median"] == 9.0 / 8.0
    assert document["machine"]["cpu"] == "a cpu"
