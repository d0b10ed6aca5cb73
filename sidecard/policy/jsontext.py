"""JSON text, exactly: what a model wrote as a value, and the one way that value is written again.

Numbers stay the characters they are, so that no digit of a large integer or of a price is lost.
What readers would disagree on is refused: a key that is there twice, and half a character.

Canonical text has its keys sorted by code point, no white space, and no escape but those that
JSON asks for: equal answers are equal bytes but for how a number is written (`1.0` and `1`).
RFC 8785 rewrites numbers as doubles, which is why it isn't that.
"""

import json
from json.encoder import encode_basestring as _quoted
from typing import Final

from sidecard.core.jsonio import JsonValue

MOST_DEPTH: Final = 200


class Number(str):
    """A number as it is written."""

    __slots__ = ()


def canonical(text: str) -> str:
    """Return the canonical text of one JSON value; raises ValueError for anything else."""
    try:
        written = _written(_decode(text), MOST_DEPTH)
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None
    try:
        written.encode()
    except UnicodeEncodeError:
        msg = "a text in it has half of a surrogate pair"
        raise ValueError(msg) from None
    return written


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) < len(pairs):
        msg = "an object in it has a key twice"
        raise ValueError(msg)
    return value


def _constant(name: str) -> JsonValue:
    msg = f"JSON has no {name}"
    raise ValueError(msg)


_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=Number, parse_int=Number, parse_constant=_constant
).decode


def _written(value: JsonValue, depth: int) -> str:
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if kind is Number:
        return str(value)
    if depth == 0:
        raise RecursionError
    if kind is dict:
        inner = [f"{_quoted(key)}:{_written(value[key], depth - 1)}" for key in sorted(value)]
        return "{" + ",".join(inner) + "}"
    if kind is list:
        return "[" + ",".join([_written(item, depth - 1) for item in value]) + "]"
    return "null" if value is None else "true" if value else "false"
