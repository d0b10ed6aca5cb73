"""Extraction: the JSON value that is meant in a model's answer.

In this order, and the first that holds anything decides:

1. the whole text;
2. fenced blocks: those marked as JSON, else those without a mark;
3. objects and arrays in the prose.

What is taken must be all there is of its kind: of several that are no JSON, or that satisfy the
schema and differ, none is taken, as the model could have meant either.
A value inside of a broken one is never taken: it would be a part for the whole.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from sidecard.policy.jsontext import canonical
from sidecard.policy.repair import repaired

MOST_CANDIDATES: Final = 16

_FENCE: Final = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PIECE: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]"]', re.DOTALL)
_OPENING: Final = re.compile(r"[{\[]")
_LIKE_JSON: Final = re.compile(r"""["'”\w]\s*:""")
_NEAR: Final = 80
_PARTNER: Final = {"}": "{", "]": "["}
_BLANK: Final = " \t\r\n\ufeff\u200b\xa0"


class Found(NamedTuple):
    """A value in an answer, as canonical text; `how` is plain, extracted or repaired."""

    text: str
    how: str


class Extracted(NamedTuple):
    """The values that may be meant, all different; `problem` says why there are none."""

    found: tuple[Found, ...]
    problem: str = ""


def extract(answer: str) -> Extracted:
    """Return what an answer may mean. Takes time in proportion to its length."""
    text = answer.strip(_BLANK)
    if not text:
        return Extracted((), "the answer holds no text")
    whole = _read(text, "plain")
    if isinstance(whole, Found):
        return Extracted((whole,))
    fenced = [(match[2].lower(), match[3].strip(_BLANK)) for match in _FENCE.finditer(text)]
    marked = [inner for mark, inner in fenced if mark.startswith("json")]
    pieces = marked or [inner for mark, inner in fenced if not mark and inner[:1] in "{["]
    if not pieces:
        try:
            pieces = list(islice(_spans(text), MOST_CANDIDATES + 1))
        except ValueError as error:
            return Extracted((), str(error))
    return _readable(pieces, whole)


def _readable(pieces: list[str], whole: str) -> Extracted:
    """Return the pieces as values; a single one that is none spoils all."""
    if not pieces:
        return Extracted((), f"the answer is no JSON: {whole}")
    if len(pieces) > MOST_CANDIDATES:
        return Extracted((), f"the answer holds more than {MOST_CANDIDATES} pieces of JSON")
    found: dict[str, Found] = {}
    for piece in pieces:
        value = _read(piece, "extracted")
        if isinstance(value, str):
            return Extracted((), f"the JSON in the answer can't be read: {value}")
        found.setdefault(value.text, value)
    return Extracted(tuple(found.values()))


def _read(text: str, how: str) -> Found | str:
    """Return the value that a text is, repaired if need be, or else why it is none."""
    try:
        return Found(canonical(text), how)
    except ValueError as error:
        problem = _told(error)
    mended = repaired(text) if text[:1] in {"{", "["} else None
    if mended is None:
        return problem
    try:
        return Found(canonical(mended), "repaired")
    except ValueError:
        return problem


def _told(error: ValueError) -> str:
    """Return a parser's complaint without what it quotes."""
    text = str(error)
    return text[:1].lower() + text[1:]


def _spans(text: str) -> Iterator[str]:
    """Yield what is in brackets and may be JSON; raises ValueError where brackets don't pair."""
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        begin = opening.start()
        at = _end(text, begin)
        span = text[begin:at]
        if not _may_be_json(span):
            continue
        before = text[max(begin - _NEAR, 0) : begin].rstrip(_BLANK)[-2:]
        after = text[at : at + _NEAR].lstrip(_BLANK)[:1]
        if (after and after in ",:]}") or before in {'":', "':"}:
            msg = "the JSON in the answer is a part of something broken"
            raise ValueError(msg)
        yield span


def _end(text: str, begin: int) -> int:
    """Return where the bracket at `begin` is closed."""
    within: list[str] = []
    for piece in _PIECE.finditer(text, begin):
        mark = piece[0]
        if mark in _PARTNER:
            if within.pop() != _PARTNER[mark]:
                break
            if not within:
                return piece.end()
        elif mark == '"':
            break
        elif mark in "{[":
            within.append(mark)
    msg = "the JSON in the answer isn't whole: a bracket or a quotation mark isn't closed"
    raise ValueError(msg)


def _may_be_json(span: str) -> bool:
    """Whether a text in brackets is meant as JSON, which `[1]` and `{x}` in prose aren't."""
    return (span[0] == "[" and '"' in span) or _LIKE_JSON.search(span) is not None
