"""The configuration's file: its values, who set them, and what is wrong with its text."""

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidecard.config import problems
from sidecard.config.problems import Problem, Source, shown
from sidecard.config.schema import Config
from sidecard.core.jsonio import JsonValue

MAX_FILE_BYTES: Final = 131_072


@dataclass(frozen=True, slots=True)
class Content:
    """What a file sets; not `whole` where it can't be told what it was meant to."""

    values: dict[str, JsonValue] = field(default_factory=dict)
    sources: dict[problems.Path, Source] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    whole: bool = True
    sha256: str = ""


def read(file: Path) -> Content:
    """Return what is in a file; never waits for a pipe, and raises nothing.

    `sha256` is of its bytes, "" where it can't be read.
    """
    source = f"file {file}"
    try:
        data = _data(file)
        text = _text(data)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        told = Problem("", source, f"can't read the configuration: {reason}", 0)
        return Content(problems=(told,), whole=False)
    from sidecard.config import document  # noqa: PLC0415  # yaml: 20 ms, for a file alone

    parsed = document.parse(text)
    mistakes = tuple(document.problems(parsed, source))
    sources = {path: Source(f"{source}, line {line}", line) for path, line in parsed.lines.items()}
    if not isinstance(parsed.values, dict):
        if parsed.values is not None:
            told = Problem(
                "", source, f"expected a mapping of sections, got {_kind(parsed.values)}", 0
            )
            mistakes = (*mistakes, told)
        return Content(problems=mistakes, whole=not mistakes, sha256=_digest(data))
    # A section whose every line is commented out is there, and empty.
    values = {name: value for name, value in parsed.values.items() if value is not None}
    empty = parsed.values.keys() - values.keys() - Config.model_fields.keys()
    return Content(values | dict.fromkeys(empty), sources, mistakes, sha256=_digest(data))


def sha256(file: Path) -> str:
    """Return the hash of what is in a file now, "" where it can't be read."""
    try:
        return _digest(_data(file))
    except (OSError, ValueError):
        return ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _kind(value: object) -> str:
    return shown(value) if isinstance(value, list) else "a single value"


def _data(file: Path) -> bytes:
    with open(file, "rb", opener=_open) as stream:
        kind = os.fstat(stream.fileno())
        if not (stat.S_ISREG(kind.st_mode) or _is_null(kind)):
            msg = "it is not a regular file"
            raise ValueError(msg)
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        msg = f"it is larger than {MAX_FILE_BYTES} bytes"
        raise ValueError(msg)
    if not data and stat.S_ISREG(kind.st_mode):
        msg = "it is empty, as if only half written; expected {} or a comment for the defaults"
        raise ValueError(msg)
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"it is not UTF-8 text, from byte {error.start} on"
        raise ValueError(msg) from None


def _open(path: str, flags: int) -> int:
    # Opening a pipe would wait for its writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _is_null(kind: os.stat_result) -> bool:
    """Whether it is /dev/null, by whatever name: empty on purpose."""
    null = os.stat(os.devnull)  # noqa: PTH116  # a device's number, no path to work with
    return stat.S_ISCHR(kind.st_mode) and kind.st_rdev == null.st_rdev
