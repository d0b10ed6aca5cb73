"""A real Prometheus scrapes the real daemon, and finds what alerts and dashboard ask for."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import grpc
import pytest
import pytest_asyncio

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.e2e.test_admin import page
from tests.support.daemon import running, settings
from tests.support.prometheus import LABELS, Prometheus, rules_of, scraping
from tests.support.rpc import Caller, connected, fails, failure, read
from tests.support.tools import Manifest, only, run, tool

MODULE: Final = "module"
NUMBERS = itertools.count()
FAILURE = {"fault": "status", "status": 529}
REFUSAL = {"fault": "status", "status": 400}
# What a daemon has only after more than these tests do to it.
MAY_BE_EMPTY = {
    "Asked again",
    "Hedges",
    "Spans",
    "Streams rescued",
    "Wait for the rate",
    "Waits for a restart",
}
VARIABLES = {
    "$__rate_interval": "1m",
    "$namespace": LABELS["namespace"],
    "$app": LABELS["app"],
    "$pod": ".*",
}


@pytest_asyncio.fixture(scope=MODULE, loop_scope=MODULE)
async def prometheus(
    monitoring: list[Manifest], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """Return a Prometheus that has seen calls answered, retried, moved on, shed and failed."""
    tool("prometheus")
    rules = rules_of(only(monitoring, "PrometheusRule"), tmp_path_factory.mktemp("prometheus"))
    async with Simulator() as sim:
        env = settings(sim.base_url) | {
            "SIDECARD_RETRY__BASE_S": "0.001",
            "SIDECARD_RETRY__MAX_DELAY_S": "0.001",
            "SIDECARD_LIMITS__LONGEST_CLOSED_S": "0.001",
            "SIDECARD_BREAKER__MINIMUM_CALLS": "1000",
            "SIDECARD_ADMISSION__IN_FLIGHT": "1",
            "SIDECARD_CACHE__ENABLED": "true",
            "SIDECARD_LIMITS__REQUESTS_PER_MINUTE": "6000",
            "SIDECARD_ADMISSION__QUEUE": "1",
            "SIDECARD_BUDGETS__LIMITS": json.dumps(
                [{"name": "all", "dollars": 100}, {"name": "few", "calls": 1, "tenant": "frugal"}]
            ),
        }
        async with running(env) as daemon, scraping(daemon.admin, rules) as found:
            await found.until("sidecard_retry_budget")
            async with connected(daemon.address) as caller:
                await use(sim, caller)
                await found.until('sidecard_calls_total{error="OVERLOADED"}')
                await use(sim, caller)
                await found.until('sidecard_calls_total{error="OVERLOADED"} > 1')
            yield found


async def use(sim: Simulator, caller: Caller) -> None:
    """Make a call of each fate, with questions that the cache hasn't met."""
    throttled = {"fault": "status", "status": 429, "headers": {"retry-after": "1"}}
    for faults in ([FAILURE] * 3, [throttled], [{"fault": "status", "status": 401}]):
        sim.play(Script.of(*faults, {"fault": "none"}))
        await caller.Generate(question())
    sim.play(Script.of(REFUSAL))
    await fails(caller.Generate(question()))
    again = question()
    await caller.Generate(again)
    await caller.Generate(again)
    assert (await read(caller.StreamGenerate(question()))).whole
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    await caller.Generate(pb.GenerateRequest(prompt=question().prompt, output_schema=schema))
    for _ in range(2):  # Once that is one too many.
        with suppress(grpc.aio.AioRpcError):
            await caller.Generate(pb.GenerateRequest(prompt=question().prompt, tenant="frugal"))
    # One has the place and one waits: there is no room for a third.
    sim.play(Script.of(*[{"fault": "none", "pace": {"first_event_s": 0.2}}] * 2))
    three = [caller.Generate(question()) for _ in range(3)]
    ended = await asyncio.gather(*three, return_exceptions=True)
    [refused] = [one for one in ended if isinstance(one, grpc.aio.AioRpcError)]
    assert failure(refused).reason == "OVERLOADED"


def question() -> pb.GenerateRequest:
    """Return a question that nobody asked before."""
    return pb.GenerateRequest(prompt=f"please say a few words on the number {next(NUMBERS)}")


def queries(monitoring: list[Manifest]) -> list[tuple[str, str]]:
    """Return the dashboard's queries: each panel's title and an expression of it."""
    [text] = [
        m["data"]["sidecard.json"] for m in monitoring if "sidecard.json" in m.get("data", {})
    ]
    found = []
    for panel in json.loads(text)["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            found.append((panel["title"], expression))
    return found


@pytest.mark.asyncio(loop_scope=MODULE)
async def test_it_is_scraped(prometheus: Prometheus) -> None:
    """Prometheus takes the page, as OpenMetrics, and finds nothing wrong with it."""
    [up] = await prometheus.query('up{container="sidecard"}')
    assert up["value"][1] == "1"
    [target] = (await prometheus.get("targets"))["activeTargets"]
    assert target["health"] == "up"
    assert not target["lastError"]


@pytest.mark.asyncio(loop_scope=MODULE)
async def test_every_panel_of_the_dashboard_has_data(
    prometheus: Prometheus, monitoring: list[Manifest]
) -> None:
    """Each query is understood, and has a number for what happened."""
    empty = set()
    for title, expression in queries(monitoring):
        assert "$" not in expression, expression
        series = await prometheus.query(expression)
        values = [float(one["value"][1]) for one in series]
        if not [value for value in values if value == value]:  # noqa: PLR0124  # NaN is no data
            empty.add(title)
    assert empty <= MAY_BE_EMPTY


@pytest.mark.asyncio(loop_scope=MODULE)
async def test_the_dashboards_variables_list_what_there_is(
    prometheus: Prometheus, monitoring: list[Manifest]
) -> None:
    """Namespace, app and pod can be chosen."""
    [text] = [
        m["data"]["sidecard.json"] for m in monitoring if "sidecard.json" in m.get("data", {})
    ]
    for variable in json.loads(text)["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
        assert found is not None
        selector, label = found[1], found[2]
        for name, value in VARIABLES.items():
            selector = selector.replace(name, value)
        values = await prometheus.get(f"label/{label}/values", **{"match[]": selector})
        assert values == [LABELS[label]]


@pytest.mark.asyncio(loop_scope=MODULE)
async def test_the_alerts_are_evaluated(prometheus: Prometheus) -> None:
    """All rules run without an error; a refused key alerts at once, and nothing is called down."""
    await prometheus.until('ALERTS{alertname="SidecardMisconfigured", alertstate="firing"}')
    groups: list[dict[str, Any]] = (await prometheus.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 10
    assert {rule["health"] for rule in rules} == {"ok"}
    assert not await prometheus.query('ALERTS{alertname="SidecardDown"}')


async def test_the_metrics_follow_the_rules() -> None:
    """`promtool check metrics` finds nothing to mend in the real page."""
    tool("promtool")
    async with Simulator() as sim, running(settings(sim.base_url)) as daemon:
        async with connected(daemon.address) as caller:
            await use_once(sim, caller)
        _, text = await page(daemon.admin, "/metrics")
    assert "sidecard_calls_total{" in text
    assert not run("promtool", "check", "metrics", given=text)


async def use_once(sim: Simulator, caller: Caller) -> None:
    """Make a call that is retried, and one that fails."""
    sim.play(Script.of(FAILURE))
    await caller.Generate(question())
    sim.play(Script.of(REFUSAL))
    await fails(caller.Generate(question()))
