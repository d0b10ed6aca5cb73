"""Metric families: sums that hold, pages that can be read, and no way to make them grow."""

from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from sidecard.core.call import Route
from sidecard.core.note import Misconfigured, Retrying
from sidecard.core.outcome import Ending, Outcome
from sidecard.telemetry.families import OTHER, Gauge, Names, Times
from sidecard.telemetry.metrics import Metrics
from tests.support.script import HEAD, USAGE, a_call

DONE = Outcome(Ending.COMPLETED, USAGE, None, 1.5, 4.0)
ODD = 'a"\\\n{}'


def none() -> Iterable[Gauge]:
    return ()


def samples(metrics: Metrics) -> dict[str, float]:
    """Return what a scrape finds, by `name{label="value",…}`."""
    text = metrics.page("")[0].decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    found = {name: float(value) for name, _, value in lines}
    return {name: value for name, value in found.items() if not name.startswith("process_")}


def test_configured_names_are_not_crowded_out() -> None:
    """However many models callers name first, ours have labels of their own, in gauges too."""

    def gauges() -> Iterator[Gauge]:
        for name in (*names, "ours"):
            yield "sidecard_breaker_state", {"target": name, "state": "open"}, 1.0

    names = [f"model-{number}" for number in range(1_000)]
    metrics = Metrics(gauges, targets=["ours"], routes=["default"])
    for name in names:
        metrics.call(a_call(route=Route(name, (), 1)), HEAD, DONE, began=1.0)
        metrics.note(Retrying("r", name, 1, "E", 0.1))
    metrics.note(Retrying("r", "ours", 1, "E", 0.1))
    metrics.call(a_call(), HEAD, DONE, began=1.0)
    found = samples(metrics)
    assert found['sidecard_retries_total{error="E",target="other"}'] == 900
    assert found['sidecard_retries_total{error="E",target="ours"}'] == 1
    assert found['sidecard_breaker_state{state="open",target="ours"}'] == 1
    assert len([name for name in found if "breaker_state" in name]) == 101
    routes = [name for name in found if "sidecard_calls_total" in name]
    assert len(routes) == 102
    assert [name for name in routes if 'route="default"' in name]


def test_series_are_bounded_whatever_their_labels() -> None:
    """Where labels multiply, the sum of a family is still what was counted."""
    metrics = Metrics(none)
    for number in range(5_000):
        metrics.note(Retrying("r", "a", 1, f"E{number}", 0.1))
    metrics.note(Retrying("r", "a", 1, "E0", 0.1))
    counted = samples(metrics)
    assert len(counted) == 2_001
    assert sum(counted.values()) == 5_001
    assert counted['sidecard_retries_total{error="E0",target="a"}'] == 2


def test_what_alerts_is_there_before_it_happens() -> None:
    """A first occurrence is an increase from 0, where a new series would be none."""
    metrics = Metrics(none, targets=["a"])
    assert samples(metrics) == {
        'sidecard_breaker_transitions_total{target="a",to="open"}': 0,
        'sidecard_rate_limit_closed_total{target="a"}': 0,
        'sidecard_misconfigured_total{target="a"}': 0,
    }
    metrics.note(Misconfigured("r", "a", "no key"))
    assert samples(metrics)['sidecard_misconfigured_total{target="a"}'] == 1


@given(st.lists(st.text(max_size=3), max_size=40), st.integers(0, 5))
def test_names_stay_what_they_are(names: list[str], limit: int) -> None:
    """A name that has a label of its own keeps it, and so many have one as the limit allows."""
    label = Names(["kept"], limit=limit)
    first = {name: label(name) for name in names}
    assert {name: label(name) for name in names} == first
    assert label("kept") == "kept"
    assert len({name for name, given in first.items() if given == name} - {"kept", OTHER}) <= limit


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=30))
def test_buckets_count_what_is_at_most_their_bound(seconds: list[float]) -> None:
    """Each bucket holds all durations up to its bound, the last one all of them."""
    times = Times("some_seconds", "Some")
    for duration in seconds:
        times.add(duration)
    [family] = times.collect()
    for sample in family.samples:
        if sample.name == "some_seconds_bucket":
            bound = float(sample.labels["le"])
            assert sample.value == sum(duration <= bound for duration in seconds)
        elif sample.name == "some_seconds_count":
            assert sample.value == len(seconds)
        else:
            assert sample.value == pytest.approx(sum(seconds))


@pytest.mark.parametrize(
    ("accept", "read"), [("", plain), ("application/openmetrics-text", openmetrics)]
)
def test_the_page_can_be_read(accept: str, read: Callable[[str], Iterable[Metric]]) -> None:
    """A strict reader finds every family in both formats, and odd names unharmed."""
    metrics = Metrics(lambda: [("sidecard_retry_budget", {}, 1.0)], targets=[ODD])
    metrics.call(a_call(), HEAD, DONE, began=1.0)
    found = {family.name: family for family in read(metrics.page(accept)[0].decode())}
    ours = {name for name in found if not name.startswith("process_")}
    assert ours == {family.name.removesuffix("_total") for family in metrics.families}
    assert "process_resident_memory_bytes" in found
    assert all(family.documentation for family in found.values())
    assert found["sidecard_misconfigured"].samples[0].labels == {"target": ODD}


@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
@pytest.mark.parametrize("version", ["odd", "1.x", "", "9.9.9"])
def test_an_odd_accept_header_is_no_failure(kind: str, version: str) -> None:
    """Anybody can send one; it gets a page, and a content type that says what it is."""
    page, content_type = Metrics(none).page(f"{kind}; version={version}")
    assert content_type.startswith(kind)
    assert "odd" not in content_type
    assert page.endswith(b"# EOF\n") == kind.endswith("openmetrics-text")


def test_names_follow_the_rules() -> None:
    """Our prefix or that of the conventions', base units, and `_total` for what only grows."""
    for family in Metrics(none).families:
        assert family.name.startswith(("sidecard_", "gen_ai_client_"))
        assert family.name.endswith("_total") == (family.kind == "counter")
        # Neither a moment nor a number of tokens is how long something took.
        if not family.name.endswith(("_timestamp_seconds", "_token_usage")):
            assert family.name.endswith("_seconds") == (family.kind == "histogram")
        assert not {"le", "quantile", "job", "instance"} & set(family.labels)
