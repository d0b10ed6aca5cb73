"""A configuration's mistakes and those of the key are told together."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from sidecard.cli import main
from sidecard.config.plan import plan
from sidecard.config.problems import ConfigError
from tests.config.conftest import Write


def told(path: Path | None, env: Mapping[str, str]) -> list[str]:
    """Return where the mistakes are, with the line or whatever else is to blame."""
    with pytest.raises(ConfigError) as caught:
        plan(path, env, {})
    return [f"{p.path} {p.source.rpartition(' ')[2]}".strip() for p in caught.value.problems]


def test_a_good_configuration_has_its_upstream(write: Write) -> None:
    """Without mistakes there is the configuration, with the upstream that it means."""
    made = plan(write("log: {level: debug}"), {"ANTHROPIC_API_KEY": "k"}, {})
    assert (made.upstream, made.loaded.config.log.level) == ("direct", "debug")


def test_a_missing_key_file_is_told_with_the_rest(write: Write) -> None:
    """The key's mistake comes where the file names it, among all the others."""
    path = write("listen: {grace_s: -1}\nupstream:\n  api_key_file: /nonexistent\nlog: 1\n")
    assert told(path, {"SIDECARD_X": "1"}) == [
        "listen.grace_s 1", "upstream.api_key_file 3", "log 4", "SIDECARD_X environment",
    ]  # fmt: skip


def test_the_command_lists_both(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """`sidecard check` exits with 2 and has the key's mistake in the same list."""
    path = write("upstream: {api_key_file: /nonexistent}\nlog: {level: loud}\n")
    assert main(["check", "--config", str(path)]) == 2
    found = capsys.readouterr().err
    assert found.startswith("sidecard: the configuration has 2 mistakes:\n")
    assert "upstream.api_key_file: can't read /nonexistent" in found
    assert "log.level: expected debug" in found


def test_a_missing_key_is_told_with_the_rest(write: Write) -> None:
    """So is the lack of any key."""
    assert told(write("log: 1"), {}) == ["log 1", "upstream.api_key_file"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("upstream: {simulate: maybe}", "upstream.simulate 1"),
        ("upstream: {api_key_file: relative}", "upstream.api_key_file 1"),
        ("upstream: 5", "upstream 1"),
    ],
)
def test_no_key_is_missed_while_that_cannot_be_known(text: str, place: str, write: Write) -> None:
    """While what decides on the upstream is wrong, no second mistake is made of it."""
    assert told(write(text), {}) == [place]


def test_no_key_is_missed_in_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A key may well be in a file that is broken or not there."""
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path / "absent", {}, {})
    assert len(caught.value.problems) == 1
