r"""Redaction: a name in place of what is personal or secret in a text, as `[email]`.

Patterns run on RE2, whose time grows with the text alone, as an operator's pattern on a caller's
text could otherwise hold up everybody: measured, `^(\w+\s?)*$` takes Python's own `re` 8 s for 26
letters, and RE2 less than a millisecond for 100,000. It has no back-references and no look-around.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import re2

BUILT_IN: Final[Mapping[str, str]] = {
    "email": r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}",
    "card": r"\b\d(?:[ -]?\d){12,18}\b",
    "key": r"\b(?:sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|gh[opsur]_[A-Za-z0-9]{36,}"
    r"|github_pat_[A-Za-z0-9_]{22,}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})"
    r"|-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s]|\\n)*",
}
"""Mail addresses; payment cards, by their check digit; keys of well-known services, JSON web
tokens and private keys."""

_TEN: Final = 10
_NINE: Final = 9


class BadPattern(ValueError):
    """A pattern that can't be used; says why."""


class Redactor:
    """Finds by name. Immutable, safe to share."""

    def __init__(self, patterns: Mapping[str, str] | None = None) -> None:
        """Take patterns beside the built-in ones, or in place of one of the same name.

        Raises `BadPattern`.
        """
        every = {**BUILT_IN, **(patterns or {})}
        self._patterns = {name: _compiled(pattern) for name, pattern in every.items()}
        self.names = tuple(self._patterns)

    def __call__(self, text: str, names: Iterable[str] | None = None) -> str:
        """Return the text with what the named patterns find replaced; None: all of them."""
        for name in self.names if names is None else names:
            pattern = self._patterns[name]
            if pattern.search(text) is None:
                continue
            text = pattern.sub(_card if name == "card" else f"[{name}]", text)
        return text

    def __repr__(self) -> str:
        return f"<Redactor of {', '.join(self.names)}>"


def _compiled(pattern: str) -> "re2._Regexp[str]":
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0]
        told = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise BadPattern(told) from None
    if compiled.search("") is not None:
        raise BadPattern("it matches where there is nothing")
    return compiled


def _card(found: "re2._Match[str]") -> str:
    return "[card]" if _is_card(found[0]) else found[0]


def _is_card(text: str) -> bool:
    """Whether the digits end in the right check digit (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(int(c) for c in reversed(text) if c.isdigit()):
        twice = digit * (1 + place % 2)
        total += twice - _NINE if twice > _NINE else twice
    return total % _TEN == 0
