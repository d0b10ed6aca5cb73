"""The README's tables are those of the code, and its links lead somewhere."""

import re

import pytest

from scripts import readme
from sidecard.telemetry.metrics import Metrics

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


def test_its_links_lead_to_what_there_is() -> None:
    """Each relative link names a file or a folder of this repository."""
    links = set(re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXT))
    assert len(links) > 20
    assert not [link for link in links if not (readme.README.parent / link).exists()]
