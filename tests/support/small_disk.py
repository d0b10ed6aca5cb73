"""A small file system, to be filled or made read-only: where this process may mount one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[Path]:
    """Mount a tmpfs of that size on a folder, which is made; skips the test where it can't be."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", os.fspath(folder)]
    if shutil.which("mount") is None or subprocess.run(mounting, check=False).returncode:
        pytest.skip("only root may mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", os.fspath(folder)], check=True)  # noqa: S607  # as it was mounted


def remounted(folder: Path, how: str) -> None:
    """Make it read-only ("ro") or writable ("rw")."""
    command = ["mount", "-o", f"remount,{how}", os.fspath(folder)]
    subprocess.run(command, check=True)
