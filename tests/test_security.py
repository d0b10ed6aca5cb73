"""docs/security.md names a defence's test, and it is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from sidecard.config.listen import Listen

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "Threat |" not in line]
TEST = re.compile(r"\[`(\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")


@cache
def _tests(path: str) -> frozenset[str]:
    """Return the names of a file's tests."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset([node.name for node in tree.body if isinstance(node, kinds)])


def test_there_are_threats() -> None:
    """The page has its tables, and what isn't defended."""
    assert len(ROWS) > 30
    assert "## What isn't defended" in PAGE


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_defence_has_a_test_that_exists(row: str) -> None:
    """A threat, what is done, and at least one test; a test that is renamed is missed here."""
    _, threat, defence, tests, _ = row.split("|")
    assert threat.strip()
    assert defence.strip()
    found = TEST.findall(tests)
    assert found
    assert tests.count("`") == 2 * len(found)
    assert [name for name, path in found if name not in _tests(path)] == []


def test_its_fields_exist() -> None:
    """What it says of `listen` is what can be configured."""
    named = set(re.findall(r"`listen\.(\w+)", PAGE))
    assert named <= set(Listen.model_fields)
