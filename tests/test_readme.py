"""The README's tables are those of the code, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from scripts import readme
from sidecard.cli.main import COMMANDS, main
from sidecard.config.load import load
from sidecard.telemetry.metrics import Metrics
from tests.support.source import ROOT

NESTED = ("stats", "get", "purge")
TEXT = readme.README.read_text(encoding="utf-8")


def test_the_tables_are_not_stale() -> None:
    """Between its marks the README has what `python -m scripts.readme` writes."""
    assert readme.written(TEXT) == TEXT
    stale = TEXT.replace("| Cache | `", "| Cache | `gone`, `")
    assert stale != TEXT
    assert readme.written(stale) == TEXT


def test_every_family_is_in_the_table_once() -> None:
    """A new family needs a group; none is left out, and none is twice."""
    names = re.findall(r"`([a-z_]+)`", readme.metrics().partition("|---|")[2])
    families = [family.name.removeprefix(readme.PREFIX) for family in Metrics(lambda: ()).families]
    assert sorted(names) == sorted(families)
    with pytest.raises(ValueError, match="sidecard_odd_total is in no group"):
        readme.group("sidecard_odd_total")


def test_every_group_has_families() -> None:
    """No row of the table is empty."""
    groups = {readme.group(family.name) for family in Metrics(lambda: ()).families}
    assert groups == set(readme.GROUPS)


def test_a_mark_that_is_gone_is_told() -> None:
    """Else a table would quietly grow stale."""
    with pytest.raises(ValueError, match="<!-- metrics -->"):
        readme.written(TEXT.replace("<!-- /metrics -->", ""))


PAGES = [readme.README, *sorted((ROOT / "docs").glob("*.md"))]


def _anchors(page: Path) -> set[str]:
    """Return what a page's headings are linked by, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_to_what_there_is(page: Path) -> None:
    """Each relative link of the README and docs/: the file, the heading, the test by its name."""
    links = re.findall(r"\[([^\]]+)\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text())
    assert links or page != readme.README
    for text, link, anchor in links:
        file = page.parent / link if link else page
        assert file.exists(), link
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file), f"{link}#{anchor}"
        if text.startswith("`test_") and not text.endswith(".py`"):
            assert f"def {text.strip('`')}(" in file.read_text(), text


def test_every_promise_names_its_proof() -> None:
    """Each row of the table ends in the names of tests, which are there."""
    table = TEXT.partition("| Promise | Proof |")[2].partition("\n\n")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ") and "---" not in row]
    assert len(rows) >= 25
    for row in rows:
        promise, _, proof = row.strip("| ").rpartition(" | ")
        assert promise
        assert re.fullmatch(r"(\[`test_\w+`\]\(tests/[\w/]+\.py\)(, )?)+", proof), row


def test_its_configurations_are_good(tmp_path: Path) -> None:
    """Who copies one has no mistakes in it; the key's file is theirs."""
    found = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert len(found) >= 5
    key = tmp_path / "key"
    key.write_text("sk-ant-test-0123456789")
    for text in found:
        file = tmp_path / "sidecard.yaml"
        file.write_text(text.replace("/run/secrets/anthropic-api-key", str(key)))
        assert load(file, {}, {}).config.routes


def test_its_commands_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Each `sidecard …` that it shows is a command with these flags, each `make …` a target."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, re.MULTILINE):
        assert f"\n{target}:" in makefile, target
    shown = re.findall(r"(?:bin/|`)sidecard ([a-z]+[^`#\n]*)", TEXT)
    assert len(shown) > 10
    for line in shown:
        command, *words = line.split()
        assert command in COMMANDS, line
        with pytest.raises(SystemExit):
            main([command, *[word for word in words if word in NESTED], "--help"])
        told = capsys.readouterr().out
        assert not [flag for flag in words if flag.startswith("--") and flag not in told], line
