"""The container image: what goes in, how it is pinned, and that nothing else gets near it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source import ROOT
from tests.support.tools import run

DOCKERFILE = (ROOT / "Dockerfile").read_text()
DIGEST = "sha256:" + "0123456789abcdef" * 4
STAGES = DOCKERFILE.split("\nFROM ")


def test_the_linter_finds_nothing() -> None:
    """hadolint, shellcheck within, has nothing to say."""
    assert not run("hadolint", ROOT / "Dockerfile")


def test_what_is_installed_is_locked() -> None:
    """Only wheels with the hashes of the lock get in, and the daemon itself; none is compiled."""
    installs = re.findall(r"-m pip install (.+?)(?:&&|\n[A-Z]|\Z)", DOCKERFILE, re.DOTALL)
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "--only-binary :all:" in installs[0]
    assert "--no-index" in installs[1]
    assert "--no-deps" in installs[1]
    assert not re.search(r"apt-get|apk |curl|wget|https?://", DOCKERFILE)


def test_the_image_runs_as_nobody() -> None:
    """Its user is a number other than root's, it brings no shell steps, and it says how it is."""
    last = STAGES[-1]
    assert "\nUSER 65532:65532\n" in last
    assert "\nRUN " not in last
    assert "\nHEALTHCHECK " in last
    assert 'ENTRYPOINT ["/opt/sidecard/bin/sidecard"]' in last


def test_both_stages_have_the_base_that_is_pinned() -> None:
    """One line says which base, so that one digest pins all."""
    assert [stage.split()[0] for stage in STAGES[1:]] == ["${PYTHON_IMAGE}"] * 2
    assert len(re.findall(r"^ARG PYTHON_IMAGE=\S+:3\.\d+-\S+$", DOCKERFILE, re.MULTILINE)) == 1


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a copy of what scripts/image.py reads, with a `docker` that tells what it is asked."""
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "scripts/image.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\n[ "$1" = buildx ] && echo {DIGEST} || echo "$@"\n')
    docker.chmod(0o755)
    unpinned = re.sub(r"@sha256:\w+", "", DOCKERFILE)
    (tmp_path / "Dockerfile").write_text(unpinned)
    return tmp_path


def image(repository: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Run the script there; return its exit status and what it said."""
    done = subprocess.run(
        [sys.executable, repository / "scripts/image.py", *arguments],
        env={"PATH": f"{repository}/bin:/usr/bin:/bin", **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_an_image_of_no_known_base_is_not_built(repository: Path) -> None:
    """Without a digest the build is refused with what to do, unless it is wanted so."""
    status, said = image(repository, "build")
    assert status == 1
    assert "make image-pin" in said
    status, said = image(repository, "build", "--quiet", UNPINNED="1")
    assert status == 0
    assert "--tag=sidecard:" in said
    assert "--quiet" in said


def test_a_base_is_pinned_once_and_anew(repository: Path) -> None:
    """The digest that the registry tells is written behind the tag, in place of an older one."""
    for _ in range(2):
        assert image(repository, "pin")[0] == 0
        text = (repository / "Dockerfile").read_text()
        [base] = [line for line in text.splitlines() if line.startswith("ARG PYTHON_IMAGE=")]
        assert base.partition("@")[2] == DIGEST
    assert image(repository, "build")[0] == 0


def test_a_digest_that_is_none_is_not_written(repository: Path) -> None:
    """What isn't a digest stays out of the Dockerfile."""
    (repository / "bin/docker").write_text("#!/bin/sh\necho latest\n")
    before = (repository / "Dockerfile").read_text()
    status, said = image(repository, "pin")
    assert status == 1
    assert "latest" in said
    assert (repository / "Dockerfile").read_text() == before


def test_the_build_is_sent_what_it_needs_and_no_more() -> None:
    """No tests, history, keys or notes reach Docker: the ignore file begins by taking nothing."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert kept == {name for line in copied for name in line.split()}
