"""Mistakes in a configuration, told to the operator who can mend them, and never a secret."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Where a value is: names of keys, and positions in lists."""

_SECRET: Final = re.compile(r"sk-ant-[^\s'\"]*", re.IGNORECASE)
# "tokens" are what a model writes, a "token" is a secret.
_SECRET_NAME: Final = re.compile(r"key|token(?!s)|secret|password|credential", re.IGNORECASE)
_URL_LOGIN: Final = re.compile(r"//[^/]*@")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
# What names, hosts, paths and models are made of. Tokens of this length with other parts in them
# may be anybody's secrets.
_WORD: Final = re.compile(
    r"[A-Za-z]?[a-z]{0,14}[0-9]{0,4}|[A-Z]{1,15}[0-9]{0,4}|[0-9]{1,8}[a-z]{0,2}"
)
_SECRET_CHARS: Final = 20
_SHOWN_CHARS: Final = 60

NO_LINE: Final = 1 << 30
"""The line of what is in no file: told after all that is."""


class Source(NamedTuple):
    """Who set something, in words, and the line of the file if it was that."""

    words: str
    line: int = NO_LINE


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, who said so (a file's line, a variable), and what was expected.

    Whatever looks like a key of the API is taken out of all three. `line` orders problems.
    """

    path: str
    source: str
    message: str
    line: int = NO_LINE

    def __post_init__(self) -> None:
        for name in ("path", "source", "message"):
            object.__setattr__(self, name, _SECRET.sub("sk-ant-…", getattr(self, name)))

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        source = f" ({self.source})" if self.source else ""
        return f"{where}{self.message}{source}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Values that don't go together: what is wrong is at `at`, and `also` has a part in it."""

    at: Path
    message: str
    also: tuple[Path, ...] = ()


class ConfigError(Exception):
    """The configuration has mistakes: `str()` has one a line.

    `problems` has each of them once, those of the file first and in its order.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.line))
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as operators write it: `routes.fast.targets[0].model`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{_name(step)}" if text else _name(step)
    return text


def _name(step: str) -> str:
    if may_be_secret(step):
        return "…"
    return step if _PLAIN_NAME.fullmatch(step) else shown(step)


def shown(value: object, path: Path = ()) -> str:
    """Return a value as it may be repeated: short, on one line, and no secret."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        return "a list" if isinstance(value, list | tuple) else "a mapping"
    named_secret = any(isinstance(step, str) and _SECRET_NAME.search(step) for step in path)
    text = str(value)
    if named_secret or may_be_secret(text):
        return "a value that is not repeated here, as it may be a secret"
    if not isinstance(value, str):
        return repr(value)
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


def may_be_secret(text: str) -> bool:
    """Whether a text has a key of the API in it, a login, or what looks like a random token."""
    if _SECRET.search(text) or _URL_LOGIN.search(text):
        return True
    return any(_is_random(token) for token in text.split() if len(token) >= _SECRET_CHARS)


def _is_random(token: str) -> bool:
    parts = re.split(r"[^A-Za-z0-9]+", token)
    return not token.isdigit() and not all(map(_WORD.fullmatch, parts))
