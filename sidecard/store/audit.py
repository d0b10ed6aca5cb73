"""Whether a data file is sound, before LMDB may map it.

LMDB trusts its file: measured, a leaf page of zeros makes it abort, and the daemon with it;
a file shorter than its tree kills by SIGBUS.
So every page that the tree reaches is looked at first, as bytes, by lmdb's own verifier.
It takes 20 µs an entry, so it runs in a process of its own, and the daemon serves meanwhile.

What is beyond it is looked at by reading: keys that differ between the trees,
which would hide an entry from a purge, and sizes that don't add up to what was noted.
The values are left to their own checksums.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import lmdb
from lmdb import verify

from sidecard.store.trees import cost

_LOOK_EVERY_S: Final = 0.05
_SOUND: Final = 0
_UNSOUND: Final = 3
_MAX_TEXT: Final = 300
_AHEAD_BYTES: Final = 1 << 20
_MAX_AHEAD_BYTES: Final = 4 << 30


class Stopped(Exception):
    """The audit was ended before its end."""


def audit(folder: Path, stop: Callable[[], bool]) -> str:
    """Return what is wrong with the file in `folder`, "" when nothing is.

    Waits for a process that looks; where none can be started, this thread looks itself.
    Raises `Stopped` when `stop` says so, and `OSError` when the file can't be read.
    """
    command = [sys.executable, "-m", __name__, os.fspath(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        child = subprocess.Popen(  # noqa: S603  # this very module
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return problem(folder)
    with child:
        while True:
            try:
                told, _ = child.communicate(timeout=_LOOK_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                if stop():
                    child.kill()
                    raise Stopped from None
    if child.returncode == _SOUND:
        return ""
    if child.returncode == _UNSOUND:
        return told.decode(errors="replace").strip()[:_MAX_TEXT]
    return problem(folder)  # It was killed, or couldn't begin.


def problem(folder: Path) -> str:
    """Look at the file, in this process; return the first thing that is wrong, "" for nothing."""
    _read_ahead(folder / "data.mdb")
    try:
        found: list[str] = verify.verify(os.fspath(folder))  # type: ignore[no-untyped-call]
        return found[0] if found else _out_of_step(folder)
    except (verify.VerifyError, lmdb.Error, ValueError) as error:
        return str(error)


def _read_ahead(file: Path) -> None:
    """Read the file from end to end: its pages, one by one, take a cold disk ten times as long.

    It is warm then for the daemon as well.
    """
    buffer = bytearray(_AHEAD_BYTES)
    with file.open("rb", buffering=0) as whole:
        for _ in range(_MAX_AHEAD_BYTES // _AHEAD_BYTES):
            if not whole.readinto(buffer):
                break


def _out_of_step(folder: Path) -> str:
    """Return in what the trees don't agree; the file is known to be safe to read."""
    with lmdb.open(
        os.fspath(folder), readonly=True, lock=False, max_dbs=8, readahead=False, lib_version=0
    ) as env:
        try:
            blobs, info, about = (
                env.open_db(n, create=False) for n in (b"blobs", b"info", b"about")
            )
        except lmdb.NotFoundError:
            return ""  # Another format, or one that was never begun.
        page_bytes = env.stat()["psize"]
        with env.begin(buffers=True) as txn, txn.cursor(blobs) as one, txn.cursor(info) as other:
            if txn.stat(blobs)["entries"] != txn.stat(info)["entries"]:
                return "its trees hold different numbers of entries"
            used = 0
            keys = other.iternext(keys=True, values=False)
            for (key, record), known in zip(one.iternext(), keys, strict=True):
                if key != known:
                    return "its trees hold different keys"
                used += cost(len(record), page_bytes)
            noted = int(bytes(txn.get(b"used", b"0", db=about)))
    return "" if used == noted else "its sizes don't add up"


def main() -> int:
    """Look at the folder that is named; the first problem goes to standard output."""
    os.nice(10)
    wrong = problem(Path(sys.argv[1]))
    sys.stdout.write(wrong)
    return _UNSOUND if wrong else _SOUND


if __name__ == "__main__":
    sys.exit(main())
