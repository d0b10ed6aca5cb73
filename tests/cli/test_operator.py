"""What orders need of a configuration: where the token is and the daemon, and nothing else."""

from pathlib import Path

import pytest

from sidecard.simulator.server import Simulator
from tests.support.command import sidecard
from tests.support.daemon import running, settings

EXPECTED = "expected one line of visible characters"


async def release(*arguments: str, **env: str) -> tuple[int, str, str]:
    """Return the exit status and what was printed."""
    return await sidecard("budget", "release", *arguments, **env)


@pytest.mark.parametrize(
    "rest", ["", "upstream: {simulate: never}", "retry: {max_attempts: none}", "{unknown: 1}: 2"]
)
async def test_a_mistake_elsewhere_and_no_key_keep_no_order(rest: str, tmp_path: Path) -> None:
    """The file says where the token is, and where the daemon listens, too."""
    file, data = tmp_path / "sidecard.yaml", tmp_path / "data"
    async with (
        Simulator() as sim,
        running(settings(sim.base_url) | {"SIDECARD_DATA_DIR": str(data)}) as daemon,
    ):
        file.write_text(f"data_dir: {data}\nlisten: {{grpc: '{daemon.address}'}}\n{rest}\n")
        assert await release("--config", str(file)) == (0, "released 0 attempts, $0.0000\n", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "can't read the configuration: No such file or directory (file "),
        ("data_dir: [", "is not YAML"),
        ("data_dir: here", "data_dir: expected an absolute path (file "),
        ("listen: 1", "listen: expected a mapping"),
    ],
)
async def test_what_cannot_be_read_is_told(text: str | None, told: str, tmp_path: Path) -> None:
    """With what to do; a token that is given is enough."""
    file, token = tmp_path / "sidecard.yaml", tmp_path / "token"
    token.write_text("a")
    if text is not None:
        file.write_text(text)
    code, out, said = await release("--config", str(file))
    assert (code, out) == (2, "")
    assert said.startswith("sidecard budget: no token: ")
    assert told in said
    assert said.endswith("; mend that, or give --token-file\n")
    code, _, said = await release(
        "--config", str(file), "--token-file", str(token), SIDECARD_ADDRESS="127.0.0.1:1"
    )
    assert (code, "127.0.0.1:1" in said) == (1, True)


async def test_a_daemon_may_have_another_data_dir(tmp_path: Path) -> None:
    """It goes on with the one that it started with, whatever the file says now."""
    code, _, said = await release(SIDECARD_DATA_DIR=str(tmp_path))
    assert code == 2
    assert said == (
        f"sidecard budget: can't read the token in {tmp_path}/admin-token: No such file or "
        "directory; a daemon that was started with another data_dir has its token there: "
        "give --token-file\n"
    )


@pytest.mark.parametrize("text", ["", " \n", "one\ntwo\n", "a\0b", "a\tb", "clé"])
async def test_a_file_without_a_token_is_told(text: str, tmp_path: Path) -> None:
    """Before anything is sent."""
    token = tmp_path / "token"
    token.write_text(text)
    code, _, said = await release("--token-file", str(token))
    assert (code, said) == (2, f"sidecard budget: {token} holds no token: {EXPECTED}\n")
