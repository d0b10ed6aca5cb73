"""A file that can't be read, or isn't YAML as it should be."""

import os
from pathlib import Path

import pytest

from sidecard.config.load import ConfigError, load
from sidecard.config.scalars import scalar
from tests.config.conftest import Refused, Taken

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

UNREADABLE = {
    "log: {level: info": "is not YAML: expected ',' or '}', but got '<stream end>'",
    "log:\n\tlevel: info": r"'\t' that cannot start any token (file sidecard.yaml, line 2)",
    "log: *level": "is not YAML: found undefined alias '…'",
    "a\0b": "has characters that YAML doesn't allow",
    "---\nlog: {}\n---\nlog: {}\n": "is not YAML: but found another document",
    "just words": "expected a mapping of sections, got a single value",
    "[]": "expected a mapping of sections, got a list",
    "[" * 5000: "is too large",
    "a: " + "[" * 50 + "]" * 50: "20 levels",
    "a: &a [*a]": "20 levels",
    BOMB: "5000 values",
    # Nobody reads as far as to the wrong bracket at its end.
    "a: [" + "x, " * 10_001 + "}": "5000 values",
    "#" * 131_073: "can't read the configuration: it is larger than 131072 bytes",
    "": "can't read the configuration: it is empty, as if only half written; expected {}",
}


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_broken_text_is_told(text: str, refused: Refused) -> None:
    """What is no mapping in YAML, or far too much of one, is one problem that names the file."""
    [problem] = refused(text)
    assert UNREADABLE[text] in problem
    assert "file sidecard.yaml" in problem


def test_other_text_encodings_are_refused(refused: Refused) -> None:
    """A file that isn't UTF-8 is told, with the byte where it stops to be."""
    assert refused("log: {}  # é".encode("latin-1")) == [
        "can't read the configuration: it is not UTF-8 text, from byte 11 on (file sidecard.yaml)"
    ]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A missing file and a folder are told with their path and the system's reason."""
    for path, reason in ((tmp_path / "no", "No such file or directory"), (tmp_path, "Is a dir")):
        with pytest.raises(ConfigError, match=reason) as caught:
            load(path, {}, {})
        assert str(path) in str(caught.value)


def test_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    """A pipe, which may stay empty for ever, and a device without an end are refused unread."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigError, match="it is not a regular file"):
            load(path, {}, {})


def test_the_null_device_is_an_empty_configuration(tmp_path: Path) -> None:
    """/dev/null, even behind a link, is the defaults; a file of no bytes is not."""
    (tmp_path / "null").symlink_to(os.devnull)
    assert load(tmp_path / "null", {}, {}).config == load(None, {}, {}).config


def test_what_else_is_wrong_is_told_with_a_broken_file(refused: Refused) -> None:
    """A broken file doesn't hide the mistakes of the environment."""
    assert len(refused("log: {", {"SIDECARD_LOG__LEVEL": "loud", "SIDECARD_LOGS": "x"})) == 3


ODD = {
    "log: {level: info, level: debug}": "log.level: is given twice, first in line 1",
    "? [a]\n: b": "expected a name as the key",
    "log: {level: !env LEVEL}": "log.level: has a YAML tag",
    "log: {<<: {level: info}}": "log.<<: unknown key",
    "listen: {reflection: on}": "expected true or false, got 'on'",
    "listen: {max_message_bytes: 99999999999999999999999}": "got '9999",
}


@pytest.mark.parametrize("text", ODD)
def test_oddities_of_yaml_are_mistakes(text: str, refused: Refused) -> None:
    """Duplicate keys, tags, merges and the words of YAML 1.1 are told, not guessed at."""
    assert any(ODD[text].replace("<<", "'<<'") in problem for problem in refused(text))


@pytest.mark.parametrize("text", ["{}", "# all of it a comment\n", "timeouts:\n", "\ufefflog: {}"])
def test_an_empty_file_is_fine(text: str, taken: Taken) -> None:
    """A file or a section with nothing in it leaves the defaults, and gives nothing."""
    loaded = taken(text)
    assert loaded.config == taken().config
    assert loaded.given == frozenset()


def test_aliases_are_values(taken: Taken) -> None:
    """An alias stands for its anchor's value."""
    config = taken("timeouts: {first_event_s: &t 30, idle_s: *t}").config
    assert (config.timeouts.first_event_s, config.timeouts.idle_s) == (30, 30)


SCALARS = {
    "0600": "0600", "no": "no", "12:30": "12:30", "2026-01-01": "2026-01-01", "1_000": "1_000",
    "0": 0, "-3": -3, "600": 600, "1e3": 1000.0, ".5": 0.5, "5.": 5.0, "-1.5E-2": -0.015,
    "true": True, "FALSE": False, "~": None, "": None, "null": None, "e5": "e5", ".": ".",
    "9" * 5000: "9" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("text", SCALARS, ids=range(len(SCALARS)))
def test_scalars_are_those_of_yaml_1_2(text: str) -> None:
    """Only what is plainly a number, a truth value or nothing is taken for one."""
    value = scalar(text)
    assert value == SCALARS[text]
    assert type(value) is type(SCALARS[text])
