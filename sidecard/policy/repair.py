"""Repair: near-JSON to JSON where that changes the punctuation alone.

Mended are commas too many or missing, comments, other quotation marks, names without any,
characters in a text that have to be escaped, and `True`, `False` and `None` as Python writes
them. Every text, number and literal of the result stands in the original, in the same order.
What would be a guess isn't made: an open bracket is not closed, for the rest may be missing;
an inner quotation mark could end the text; `[1 234]` could be one number; JSON has no `NaN`.

`json_repair` 0.64 is made for getting something out of anything:
measured, it makes `tru` a text, `1,234` another, drops the end of `'it''s'`, and closes what was
cut off. A caller can't tell those from what the model meant, so none of it is used here.
"""

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<space>[\s\ufeff\u200b]+)
    | (?P<comment>//[^\n]*|/\*.*?\*/|\#[\ \t][^\n]*)
    | (?P<string>"[^"\\]*(?:\\.[^"\\]*)*")
    | '(?P<single>(?:[^'\\\n]|\\['"])*)'
    | “(?P<curly>[^“”"\\\n]*)”
    | (?P<mark>[{}\[\]:,])
    | (?P<atom>[^\s\ufeff\u200b{}\[\]:,"'“”/]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_SCALAR: Final = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NAME: Final = re.compile(r"[^\W\d][\w$-]*")
_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}
_ODD: Final = re.compile(r"\\.|[\x00-\x1f]", re.DOTALL)
_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\'": "'"}
_OPENS, _CLOSES = frozenset("{["), frozenset("}]")


def repaired(text: str) -> str | None:
    """Return the text with its punctuation mended; None where that isn't enough to make tokens.

    The result may still be no JSON: whoever asked has to parse it.
    """
    tokens = _tokens(text)
    if tokens is None:
        return None
    out: list[str] = []
    within: list[str] = []
    for index, (kind, token) in enumerate(tokens):
        following = tokens[index + 1][1] if index + 1 < len(tokens) else ""
        written = token
        if kind == "atom" and not _SCALAR.fullmatch(token):
            written = f'"{token}"' if following == ":" else _PYTHON.get(token, "")
            if not written or (following == ":" and not _NAME.fullmatch(token)):
                return None
        if _is_spare(kind, token, following) and out and _is_value(out[-1]):
            continue
        if out and within and _lacks_comma(within[-1], out[-1], kind, written, following):
            out.append(",")
        if kind == "mark":
            if token in _OPENS:
                within.append(token)
            elif token in _CLOSES and within:
                within.pop()
        out.append(written)
    return " ".join(out)


def _tokens(text: str) -> list[tuple[str, str]] | None:
    """Return what the text is made of, without spaces and comments; texts are well quoted."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return None
        at, kind = found.end(), str(found.lastgroup)
        match kind:
            case "space" | "comment":
                continue
            case "string":
                token = _ODD.sub(_escaped, found[0])
            case "single" | "curly":
                kind, token = "string", _quoted(found[kind])
            case _:
                token = found[0]
        tokens.append((kind, token))
    return tokens


def _quoted(inner: str) -> str:
    """Return what stood between other quotation marks as a text."""
    plain = inner.replace("\\'", "'").replace('\\"', '"')
    return '"' + plain.replace('"', '\\"').replace("\t", "\\t") + '"'


def _escaped(found: re.Match[str]) -> str:
    """Return an escape as it is, and a character that needs one with it."""
    odd = found[0]
    return _ESCAPES.get(odd, odd if odd[0] == "\\" else f"\\u{ord(odd):04x}")


def _is_spare(kind: str, mark: str, following: str) -> bool:
    """Whether a token is a comma that nothing follows."""
    return kind == "mark" and mark == "," and following in _CLOSES


def _is_value(token: str) -> bool:
    return token[-1] not in "{[:,"


def _lacks_comma(within: str, last: str, kind: str, token: str, following: str) -> bool:
    """Whether a comma is missing before a token, where there is one way only to read it."""
    if not _is_value(last) or (kind == "mark" and token not in _OPENS):
        return False
    if within == "{":
        return token[0] == '"' and following == ":"
    return last in _CLOSES or token in _OPENS
