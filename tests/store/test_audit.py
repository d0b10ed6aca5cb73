"""The audit that comes before a file is mapped."""

import sys
from pathlib import Path

import pytest

from sidecard.store import audit
from sidecard.store.shelf import Shelf
from tests.store.conformance import NOW, a_key, an_entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a sound file in it."""
    shelf = Shelf(tmp_path, map_bytes=4 << 20)
    shelf.write([(a_key(), an_entry(), bytes(500)) for _ in range(50)], NOW)
    shelf.close()
    return tmp_path


def spoil(folder: Path) -> None:
    data = bytearray((folder / "data.mdb").read_bytes())
    data[2 * 4096 :] = bytes(len(data) - 2 * 4096)
    (folder / "data.mdb").write_bytes(data)


def never() -> bool:
    return False


def test_a_sound_file_passes(folder: Path) -> None:
    """Nothing is said of it, in a process of its own or here."""
    assert audit.audit(folder, never) == ""
    assert audit.problem(folder) == ""


def test_a_spoilt_file_is_told(folder: Path) -> None:
    """The first thing that is wrong is named, and the same way in both."""
    spoil(folder)
    assert "page" in audit.audit(folder, never)
    assert audit.audit(folder, never) == audit.problem(folder)


@pytest.mark.parametrize("executable", ["/nonexistent", "/bin/false"])
def test_without_a_process_it_looks_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch, executable: str
) -> None:
    """No process can be had, or it dies at once: the file is looked at all the same."""
    monkeypatch.setattr(sys, "executable", executable)
    assert audit.audit(folder, never) == ""
    spoil(folder)
    assert audit.audit(folder, never) != ""


def test_it_can_be_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A daemon that ends waits for no audit."""
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    with pytest.raises(audit.Stopped):
        audit.audit(folder, lambda: True)
