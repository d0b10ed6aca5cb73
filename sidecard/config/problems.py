"""Mistakes in a configuration, told to the operator who can mend them, and never a secret."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Where a value is: names of keys, and positions in lists."""

_SECRET: Final = re.compile(r"sk-ant-[^\s'\"]*", re.IGNORECASE)
# "tokens" are what a model writes, a "token" is a secret.
_SECRET_NAME: Final = re.compile(r"key|token(?!s)|secret|password|credential", re.IGNORECASE)
_URL_LOGIN: Final = re.compile(r"//[^/]*@")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, who said so (a file's line, a variable), and what was expected.

    Whatever looks like a key of the API is taken out of all three.
    """

    path: str
    source: str
    message: str

    def __post_init__(self) -> None:
        for name in ("path", "source", "message"):
            object.__setattr__(self, name, _SECRET.sub("sk-ant-…", getattr(self, name)))

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        source = f" ({self.source})" if self.source else ""
        return f"{where}{self.message}{source}"


class ConfigError(Exception):
    """The configuration has mistakes: `problems` has all of them, `str()` has one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as operators write it: `routes.fast.targets[0].model`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _PLAIN_NAME.fullmatch(step) else shown(step)
            text += f".{name}" if text else name
    return text


def shown(value: object, path: Path = ()) -> str:
    """Return a value as it may be repeated: short, on one line, and no secret."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _shown_text(value, path)
    return "a list" if isinstance(value, list | tuple) else "a mapping"


def _shown_text(text: str, path: Path) -> str:
    named_secret = any(isinstance(step, str) and _SECRET_NAME.search(step) for step in path)
    if named_secret or _SECRET.search(text) or _URL_LOGIN.search(text):
        return "a text that is not repeated here, as it may be a secret"
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")
