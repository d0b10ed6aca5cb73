"""The alerts: each fires when it should, has its entry in the runbook, and knows its metrics."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import rules_of
from tests.support.promql import families
from tests.support.source import ROOT
from tests.support.tools import K8S, run, tool

MANIFEST = yaml.safe_load((K8S / "monitoring/prometheus-rule.yaml").read_text())
RULES: list[dict[str, Any]] = [r for group in MANIFEST["spec"]["groups"] for r in group["rules"]]
TESTS = Path(__file__).with_name("alerts.yaml")
RUNBOOK = (ROOT / "docs/runbook.md").read_text()


def known() -> set[str]:
    """Return every family of the page about metrics."""
    rows = (ROOT / "docs/metrics.md").read_text().splitlines()
    return {row.split("`")[1] for row in rows if row.startswith("| `")}


def test_the_rules_are_sound(tmp_path: Path) -> None:
    """Promtool finds nothing wrong with them."""
    run("promtool", "check", "rules", rules_of(MANIFEST, tmp_path))


def test_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    """Promtool plays series to the rules: each alert fires as described, and not before."""
    rules_of(MANIFEST, tmp_path)
    run("promtool", "test", "rules", shutil.copy(TESTS, tmp_path))


def test_a_rule_that_is_off_is_found(tmp_path: Path) -> None:
    """Those tests aren't idle: a threshold that is moved fails them."""
    tool("promtool")
    rules = rules_of(MANIFEST, tmp_path)
    text = rules.read_text()
    assert "> 0.05" in text
    rules.write_text(text.replace("> 0.05", "> 0.07"))
    with pytest.raises(AssertionError, match="SidecardCallsFailing"):
        run("promtool", "test", "rules", shutil.copy(TESTS, tmp_path))


def test_each_alert_is_tested_firing_and_still() -> None:
    """The file of tests has a moment for each alert at which it fires, and one at which not."""
    fires: dict[str, set[bool]] = {}
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        for expected in test["alert_rule_test"]:
            fires.setdefault(expected["alertname"], set()).add("exp_alerts" in expected)
    assert fires == {rule["alert"]: {True, False} for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_each_alert_leads_to_the_runbook(rule: dict[str, Any]) -> None:
    """It says how bad it is and what is wrong, and the runbook says what to do."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    _, found, entry = RUNBOOK.partition(f"\n## {rule['alert']}\n")
    assert found, f"docs/runbook.md has no entry {rule['alert']}"
    entry = entry.partition("\n## ")[0]
    assert all(part in entry for part in ("**Means.**", "**Look.**", "**Do.**"))


def test_the_runbook_has_no_entry_without_an_alert() -> None:
    """Nobody reads of an alert that is gone."""
    titles = {line.removeprefix("## ") for line in RUNBOOK.splitlines() if line.startswith("## ")}
    assert titles == {rule["alert"] for rule in RULES}


def test_the_alerts_read_metrics_that_there_are() -> None:
    """Each family that a rule names is on the page about metrics."""
    read = set().union(*[families(rule["expr"]) for rule in RULES])
    assert len(read) > 8
    assert read <= known()
