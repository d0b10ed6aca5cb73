"""The violations of one request, gathered so that the caller learns of all of them at once."""

import re
from typing import Final

from sidecard.core.errors import InvalidCall, Violation

_MOST: Final = 100
_SHOWN_CHARS: Final = 64
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Violations:
    """Collects what is wrong with one request: the first hundred, fields named from `prefix` on."""

    __slots__ = ("_found", "_prefix")

    def __init__(self, prefix: str = "") -> None:
        self._found: list[Violation] = []
        self._prefix = prefix

    def __len__(self) -> int:
        return len(self._found)

    def add(self, field: str, description: str) -> None:
        """Note that `field` breaks a rule; the description says what was found and the fix."""
        if len(self._found) < _MOST:
            self._found.append(Violation(self._prefix + field, description))

    def check(self) -> None:
        """Raise `InvalidCall` with everything that was noted, if anything was."""
        if self._found:
            raise InvalidCall(*self._found)


def has_controls(text: str) -> bool:
    """Whether control characters or line separators are in an id, which could forge a log line."""
    return _CONTROLS.search(text) is not None


def shown(text: str, quote: str = '"') -> str:
    """Return a caller's short text as a description may quote it: bounded, on one line."""
    cut = text[:_SHOWN_CHARS]
    clean = "".join([c if c.isprintable() else ascii(c)[1:-1] for c in cut])
    return f"{quote}{clean}{'…' if len(text) > _SHOWN_CHARS else ''}{quote}"
