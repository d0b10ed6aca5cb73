"""A small file system, to be filled, made read-only or broken: where this process may mount one."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
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


@contextmanager
def failing_disk(folder: Path, image: Path) -> Iterator[Callable[[], object]]:
    """Mount an ext4 of an image that is made; yield what has it meet an error.

    After that it is read-only, whoever has files open, as a disk is that fails under a process.
    """
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    commands = (
        ["mkfs.ext4", "-q", os.fspath(image)],
        ["mount", "-o", "loop,errors=remount-ro", os.fspath(image), os.fspath(folder)],
    )
    for command in commands:
        if shutil.which(command[0]) is None or subprocess.run(command, check=False).returncode:
            pytest.skip("only root may mount, where there are loop devices")
    try:
        device = folder.stat().st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        trigger = Path(f"/sys/fs/ext4/{name}/trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel's ext4 can't be made to fail")
        yield lambda: trigger.write_text("a test")
    finally:
        subprocess.run(["umount", os.fspath(folder)], check=True)  # noqa: S607  # as it was mounted
