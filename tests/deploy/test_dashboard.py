"""The dashboard: its form, and that it reads metrics that there are."""

import json
from typing import Any

from tests.deploy.test_alerts import known
from tests.support.promql import families
from tests.support.tools import K8S

DASHBOARD: dict[str, Any] = json.loads((K8S / "monitoring/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_it_reads_metrics_that_there_are() -> None:
    """Each query's families are on the page about metrics."""
    read = [families(target["expr"]) for panel in PANELS for target in panel["targets"]]
    others = set().union(*read) - known()
    assert not others
    assert len(set().union(*read)) > 20


def test_what_is_measured_is_shown() -> None:
    """Each family has a panel, but for those that say in another way what a panel says."""
    read = [families(target["expr"]) for panel in PANELS for target in panel["targets"]]
    assert known() - set().union(*read) == {
        "sidecard_config_last_reload_success_timestamp_seconds",  # Reloads
        "sidecard_config_last_reload_successful",  # Reloads, and an alert
        "sidecard_prices_info",  # Versions: it comes with the daemon's
        "sidecard_budget_spent",  # Left of the budgets
        "sidecard_budget_reserved",  # Left of the budgets
        "sidecard_rpc_duration_seconds",  # Duration, with the time to decode and send
        "gen_ai_client_operation_duration_seconds",  # Attempts, for dashboards of any client
        "gen_ai_client_token_usage",  # Tokens per second, for those too
    }


def test_every_panel_says_what_it_shows() -> None:
    """Title, description and unit are there, and each panel has its own number."""
    assert all(panel["title"] and panel["description"] for panel in PANELS)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS)
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_the_panels_do_not_overlap() -> None:
    """On Grafana's 24 columns each panel has its own place."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        rows = range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in columns for y in rows}
        assert max(columns) < 24
        assert not cells & taken
        taken |= cells


def test_it_names_no_grafana_of_ours() -> None:
    """Every query asks the chosen data source, for the chosen namespaces, apps and pods."""
    for panel in PANELS:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            for variable in ("$namespace", "$app", "$pod"):
                assert variable in target["expr"]
