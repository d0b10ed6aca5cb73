"""Which upstream is meant, and that the simulator never stands in for one that was asked for."""

from pathlib import Path

import pytest

from sidecard.config.load import ConfigError
from sidecard.config.simulate import choose_upstream
from tests.config.conftest import Taken

KEY = {"ANTHROPIC_API_KEY": "sk-ant-1"}
FEDERATION = {
    "ANTHROPIC_FEDERATION_RULE_ID": "r",
    "ANTHROPIC_ORGANIZATION_ID": "o",
    "ANTHROPIC_IDENTITY_TOKEN_FILE": "/t",
}

CHOICES: list[tuple[str | None, dict[str, str], str]] = [
    (None, {}, "simulated"),
    (None, {"ANTHROPIC_API_KEY": " ", "ANTHROPIC_BASE_URL": ""}, "simulated"),
    (None, {"ANTHROPIC_AUTH_TOKEN": " "}, "simulated"),
    (None, {"ANTHROPIC_MODEL": "claude-x", "ANTHROPIC_LOG": "debug"}, "simulated"),
    (None, FEDERATION | {"ANTHROPIC_IDENTITY_TOKEN_FILE": " "} | KEY, "direct"),
    (None, {"SIDECARD_LOG__LEVEL": "debug"}, "simulated"),
    (None, {"SIDECARD_UPSTREAM__SIMULATE": "auto"}, "simulated"),
    ("upstream: {simulate: always}", KEY, "simulated"),
    ("upstream: {simulate: always, transport: sdk}", {}, "simulated"),
    (None, KEY, "direct"),
    ("upstream: {simulate: never}", KEY, "direct"),
    (None, KEY | {"ANTHROPIC_AUTH_TOKEN": "t"}, "direct"),
    ("upstream: {transport: sdk}", KEY, "sdk"),
    ("upstream: {transport: sdk}", {}, "sdk"),
    ("upstream: {sdk_client: bedrock}", KEY, "sdk"),
    (None, {"ANTHROPIC_AUTH_TOKEN": "t"}, "sdk"),
    (None, {"ANTHROPIC_PROFILE": "p"}, "sdk"),
    (None, {"ANTHROPIC_CONFIG_DIR": "/c"}, "sdk"),
    (None, FEDERATION, "sdk"),
]


@pytest.mark.parametrize(("text", "env", "expected"), CHOICES)
def test_the_upstream_is_chosen(
    text: str | None, env: dict[str, str], expected: str, taken: Taken
) -> None:
    """Asked-for simulation, then the SDK if named, then a key, then the SDK's credentials."""
    assert choose_upstream(taken(text, env), env) == expected


MEANT: list[tuple[str | None, dict[str, str], str]] = [
    ("{}", {}, "sidecard.yaml configures the daemon"),
    (None, {"SIDECARD_UPSTREAM__TRANSPORT": "direct"}, "upstream.transport is set"),
    (None, {"ANTHROPIC_BASE_URL": "https://x"}, "$ANTHROPIC_BASE_URL is set"),
    (None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "this is a Kubernetes cluster"),
    (None, {"SIDECARD_UPSTREAM__SIMULATE": "never"}, "upstream.simulate is never"),
    (None, {"ANTHROPIC_FEDERATION_RULE_ID": "r"}, "$ANTHROPIC_FEDERATION_RULE_ID is set"),
    (None, FEDERATION | {"ANTHROPIC_ORGANIZATION_ID": " "}, "$ANTHROPIC_FEDERATION_RULE_ID is"),
    ("upstream: {transport: direct}", {"ANTHROPIC_AUTH_TOKEN": "t"}, "sidecard.yaml"),
]


@pytest.mark.parametrize(("text", "env", "reason"), MEANT)
def test_a_real_upstream_without_a_key_is_a_mistake(
    text: str | None, env: dict[str, str], reason: str, taken: Taken
) -> None:
    """Where anything says that answers should be real, none is made up; three ways out are told."""
    with pytest.raises(ConfigError) as caught:
        choose_upstream(taken(text, env), env)
    [problem] = caught.value.problems
    assert problem.path == "upstream.api_key_file"
    for part in (reason, "upstream.api_key_file", "ANTHROPIC_API_KEY", "upstream.simulate"):
        assert part in problem.message


def test_a_key_file_is_read_at_the_start(tmp_path: Path, taken: Taken) -> None:
    """A file with a key, even behind a link and with a line's end, is a plain key."""
    (tmp_path / "key").write_text("sk-ant-1\n")
    link = tmp_path / "link"
    link.symlink_to("key")
    assert choose_upstream(taken(f"upstream: {{api_key_file: {link}}}"), {}) == "direct"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"one hunter2\ntwo", "expected one line of ASCII without spaces"),
        ("hunter2\u00e9".encode(), "expected one line of ASCII without spaces"),
        (b"hunter2" * 10_000, "too large"),
    ],
)
def test_an_unusable_key_file_is_told(
    content: bytes | None, reason: str, tmp_path: Path, taken: Taken
) -> None:
    """A file with no usable key is told with its path and never with its content."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        choose_upstream(taken(f"upstream: {{api_key_file: {file}}}", KEY), KEY)
    assert str(file) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_path_that_may_be_a_secret_is_not_repeated(taken: Taken) -> None:
    """A key that begins with a slash is described when no file is found by its name."""
    text = "upstream: {api_key_file: /AbCdSecretSecretSecret0123456789/x}"
    with pytest.raises(ConfigError, match="can't read the file: No such") as caught:
        choose_upstream(taken(text), {})
    assert "AbCd" not in str(caught.value)


def test_a_folder_is_no_key_file(tmp_path: Path, taken: Taken) -> None:
    """A folder, a pipe or a device in place of the key's file is told, and not waited for."""
    with pytest.raises(ConfigError, match="not a regular file"):
        choose_upstream(taken(f"upstream: {{api_key_file: {tmp_path}}}"), {})


def test_an_unusable_key_in_the_environment_is_told(taken: Taken) -> None:
    """A key that can't be a header is told before it is sent, without its text."""
    env = {"ANTHROPIC_API_KEY": "hunter2\nx: y"}
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY: can't use the key") as caught:
        choose_upstream(taken(), env)
    assert "hunter2" not in str(caught.value)
