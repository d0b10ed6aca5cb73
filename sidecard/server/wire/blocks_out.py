"""Content blocks of the upstream's JSON to the contract, nothing lost.

A block of a modelled type becomes its message, and what that has no field for goes to `extra`.
Where even a required field has another form than the contract's, the block goes as `raw`,
or as `raw_json` where a Struct would change it.
"""

import base64
from collections.abc import Callable
from typing import Any, Final

from sidecard.core import jsonio
from sidecard.core.fold import PARTIAL_INPUT
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.server.wire import media
from sidecard.server.wire.json_values import STRUCT_DEPTH, fits_struct

Fields = dict[str, Any]

_TTLS: Final = {"5m": 300, "1h": 3600}


def block_fields(block: JsonObject, depth: int = STRUCT_DEPTH) -> Fields:
    """Return what the constructor of ContentBlock takes; `depth` levels of messages are left."""
    kind = block.get("type")
    if kind == "text" and len(block) == 2 and type(block.get("text")) is str:  # noqa: PLR2004
        return {"text": {"text": block["text"]}}
    if isinstance(kind, str) and depth > 0 and (writer := _WRITERS.get(kind)):
        rest = {key: value for key, value in block.items() if key != "type"}
        fields = writer(rest, depth)
        if fields is not None:
            whole: Fields = {kind: fields}
            if (control := _cache_control(rest)) is not None:
                whole["cache_control"] = control
            if not rest:
                return whole
            if fits_struct(rest, depth):
                whole["extra"] = rest
                return whole
    return {"raw": block} if fits_struct(block, depth) else {"raw_json": jsonio.dumps(block)}


def opening_fields(block: JsonObject) -> Fields:
    """Return the same for a block before any delta: its input is still an empty text."""
    fields = block_fields(block)
    if (tool_use := fields.get("tool_use")) and tool_use["input_json"] == "{}":
        tool_use["input_json"] = ""
    return fields


def _take(rest: Fields, *keys: str) -> Fields | None:
    """Take required texts out of `rest`; None when one is missing or something else."""
    if not all(type(rest.get(key)) is str for key in keys):
        return None
    return {key: rest.pop(key) for key in keys}


def _cache_control(rest: Fields) -> Fields | None:
    match rest.get("cache_control"):
        case {"type": "ephemeral", **more} if not more:
            control: Fields = {}
        case {"type": "ephemeral", "ttl": "5m" | "1h" as ttl, **more} if not more:
            control = {"ttl": {"seconds": _TTLS[ttl]}}
        case _:
            return None
    del rest["cache_control"]
    return control


def _text(rest: Fields, depth: int) -> Fields | None:
    fields = _take(rest, "text")
    match rest.get("citations"):
        case [_, *_] as citations if fields and all(
            type(c) is dict and fits_struct(c, depth - 2) for c in citations
        ):
            fields["citations"] = rest.pop("citations")
    return fields


def _image(rest: Fields, _: int) -> Fields | None:
    match rest.pop("source", None):
        case {"type": "base64", "media_type": str(kind), "data": str(text), **more} if not more:
            data = _bytes(text)
            return {"data": data, "media_type": kind} if data and kind in media.IMAGES else None
        case source:
            return _reference(source)


def _document(rest: Fields, depth: int) -> Fields | None:
    fields: Fields | None
    match rest.pop("source", None):
        case {"type": "base64", "media_type": media.PDF, "data": str(text), **more} if not more:
            data = _bytes(text)
            fields = {"data": data} if data else None
        case {"type": "text", "media_type": "text/plain", "data": str(text), **more} if not more:
            fields = {"text": text}
        case {"type": "content", "content": list(blocks), **more} if not more:
            inner = _blocks(blocks, depth - 3)
            fields = None if inner is None else {"blocks": {"blocks": inner}}
        case source:
            fields = _reference(source)
    if fields is not None:
        for key in ("title", "context"):
            if rest.get(key) and type(rest[key]) is str:
                fields[key] = rest.pop(key)
        match rest.get("citations"):
            case {"enabled": True, **more} if not more:
                fields["citations"] = True
                del rest["citations"]
    return fields


def _reference(source: JsonValue) -> Fields | None:
    match source:
        case {"type": "url", "url": str(url), **more} if not more:
            return {"url": url}
        case {"type": "file", "file_id": str(name), **more} if not more:
            return {"file_id": name}
    return None


def _bytes(text: str) -> bytes | None:
    """Return what base64 stands for; None when encoding that would give another text."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None


def _blocks(blocks: list[JsonValue], depth: int) -> list[Fields] | None:
    if not all(type(block) is dict for block in blocks):
        return None
    return [block_fields(block, depth) for block in blocks]


def _tool_use(rest: Fields, _: int) -> Fields | None:
    arguments = rest.pop("input", None)
    if type(arguments) is not dict:
        return None
    fields = _take(rest, "id", "name")
    if fields is None:
        return None
    if not arguments and rest.get(PARTIAL_INPUT) and type(rest[PARTIAL_INPUT]) is str:
        return {**fields, "input_json": rest.pop(PARTIAL_INPUT)}
    return {**fields, "input_json": jsonio.dumps(arguments)}


def _tool_result(rest: Fields, depth: int) -> Fields | None:
    fields = _take(rest, "tool_use_id")
    if fields is None:
        return None
    content = rest.get("content")
    if type(content) is list and content and (inner := _blocks(content, depth - 2)) is not None:
        fields["content"] = inner
        del rest["content"]
    if rest.get("is_error") is True:
        fields["is_error"] = rest.pop("is_error")
    return fields


# Type of a block → its writer, which takes what it has a field for out of the block's fields;
# None when a required field doesn't have the contract's form.
_WRITERS: Final[dict[str, Callable[[Fields, int], Fields | None]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": lambda rest, _: _take(rest, "thinking", "signature"),
    "redacted_thinking": lambda rest, _: _take(rest, "data"),
}
