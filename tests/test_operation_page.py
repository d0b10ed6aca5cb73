"""docs/operation.md and docs/upgrade.md say nothing that is not there: events, fields, tests."""

import re

import pytest

from sidecard.cli.main import COMMANDS, main
from sidecard.config.schema import Config
from sidecard.config.tree import fields_of
from sidecard.policy import answer, fingerprint
from sidecard.store import codec, environment, ledger_file, trees
from tests.support.source import ROOT

PAGES = ("docs/operation.md", "docs/upgrade.md")
PAGE = "\n".join([(ROOT / page).read_text(encoding="utf-8") for page in PAGES])
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("sidecard/**/*.py"))


def test_its_links_lead_to_what_there_is() -> None:
    """Each file is there, and each test that is named is in it."""
    links = re.findall(r"\[([^\]]+)\]\(([^)#]+)", PAGE)
    assert len(links) > 15
    for text, link in links:
        file = ROOT / "docs" / link
        assert file.is_file(), link
        if text.startswith("`test_"):
            assert f"def {text.strip('`')}(" in file.read_text(encoding="utf-8"), text


def test_every_event_is_one_of_the_log() -> None:
    """What is between «» is told by the daemon, word for word."""
    events = set(re.findall(r"«([^»]+)»", PAGE))
    assert len(events) > 15
    assert not [event for event in events if f'"{event}"' not in SOURCE]


def test_every_command_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """As is `sidecard usage`, with the flags that are shown."""
    shown = re.findall(r"(?:^|`)sidecard ([a-z]+[^`#\n]*)", PAGE, re.MULTILINE)
    assert {line.split()[0] for line in shown} >= {"check", "serve", "status", "top", "usage"}
    for line in shown:
        command, *flags = line.split()
        assert command in COMMANDS
        with pytest.raises(SystemExit):
            main([command, "--help"])
        told = capsys.readouterr().out
        assert not [flag for flag in flags if flag.startswith("--") and flag not in told], line


def test_every_field_is_one_of_the_configuration() -> None:
    """With its section, as `listen.grace_s`."""
    fields = {".".join(path) for path in fields_of(Config)}
    sections = "|".join(Config.model_fields)
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)`", PAGE))
    assert len(named) > 8
    assert not named - fields


def test_the_formats_are_those_of_the_code() -> None:
    """Who changes one has to say here what becomes of files of before."""
    cache, ledger = trees.FORMAT.decode(), ledger_file.FORMAT.decode()
    assert (
        f"| `cache/{environment.DATA}` | answers | `{cache}`, records `{codec.VERSION}` |" in PAGE
    )
    assert f"and the record of use | `{ledger}` |" in PAGE
    assert f"a fingerprint of the question, whose version is now `{fingerprint.VERSION}`" in PAGE
    assert f"packed in a form\n  of their own, now `{answer.VERSION}`" in PAGE
