"""Content blocks of the contract to the upstream's JSON, with every check that needs no upstream.

The JSON of a block is returned even where a check fails, as far as there is one:
the caller of this module decides what violations mean.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any, Final

from sidecard.core.jsonio import JsonObject
from sidecard.server.wire import media
from sidecard.server.wire.json_values import struct_to_json, text_to_json
from sidecard.server.wire.violations import Violations, has_controls, shown
from sidecard.v1 import content_pb2 as pb

_TTLS: Final = {300: "5m", 3600: "1h"}

Json = dict[str, Any]


def blocks_to_json(blocks: Iterable[pb.ContentBlock], path: str, found: Violations) -> list[Json]:
    """Return the blocks in order; `path` names their field, as `messages[3].content`."""
    return [block_to_json(block, f"{path}[{i}]", found) for i, block in enumerate(blocks)]


def block_to_json(block: pb.ContentBlock, path: str, found: Violations) -> Json:
    """Return one block as the upstream takes it."""
    kind = block.WhichOneof("block")
    if kind is None:
        found.add(path, "is an empty block; set text, image or another of its fields")
        return {}
    json = _READERS[kind](getattr(block, kind), f"{path}.{kind}", found)
    if block.HasField("cache_control"):
        _merge(
            json, {"cache_control": cache_control(block.cache_control, path, found)}, path, found
        )
    if block.HasField("extra"):
        where = f"{path}.extra"
        _merge(json, struct_to_json(block.extra, where, found) or {}, where, found)
    return json


def cache_control(control: pb.CacheControl, path: str, found: Violations) -> Json:
    """Return the `cache_control` of the thing at `path`."""
    if not control.HasField("ttl"):
        return {"type": "ephemeral"}
    ttl = _TTLS.get(control.ttl.seconds) if not control.ttl.nanos else None
    if ttl is None:
        found.add(f"{path}.cache_control.ttl", "has to be 5 minutes or 1 hour")
    return {"type": "ephemeral", "ttl": ttl}


def check_name(name: str, path: str, found: Violations) -> str:
    """Return a required id or name, which is not empty and has no control characters."""
    if not name:
        found.add(path, "is empty; it is required")
    elif has_controls(name):
        found.add(path, f"has control characters: {shown(name)}; remove them")
    return name


def _merge(json: Json, more: JsonObject, path: str, found: Violations) -> None:
    for key, value in more.items():
        if key in json:
            found.add(f"{path}.{shown(key, quote='')}", "is set by the block already; set it once")
        else:
            json[key] = value


def _text(block: pb.TextBlock, path: str, found: Violations) -> Json:
    if not block.text:
        found.add(path, "is an empty text; leave the block out")
    json: Json = {"type": "text", "text": block.text}
    if block.citations:
        json["citations"] = [
            struct_to_json(citation, f"{path}.citations[{i}]", found)
            for i, citation in enumerate(block.citations)
        ]
    return json


def _image(block: pb.ImageBlock, path: str, found: Violations) -> Json:
    source = block.WhichOneof("source")
    if source == "data":
        if block.media_type not in media.IMAGES:
            known = ", ".join(media.IMAGES)
            problem = f"is {shown(block.media_type)}; with data it is one of {known}"
            found.add(f"{path}.media_type", problem)
        else:
            _check_file(block.data, block.media_type, f"{path}.data", found)
        return {"type": "image", "source": _base64(block.media_type, block.data)}
    return {"type": "image", "source": _reference(source, block, path, found)}


def _document(block: pb.DocumentBlock, path: str, found: Violations) -> Json:
    source = block.WhichOneof("source")
    allowed = ("", media.PDF) if source == "data" else ("",)
    if block.media_type not in allowed:
        problem = f"is {shown(block.media_type)}; only with data is it set, to {media.PDF}"
        found.add(f"{path}.media_type", problem)
    json: Json = {"type": "document"}
    if source == "data":
        _check_file(block.data, media.PDF, f"{path}.data", found)
        json["source"] = _base64(media.PDF, block.data)
    elif source == "text":
        if not block.text:
            found.add(f"{path}.text", "is empty; leave the document out")
        json["source"] = {"type": "text", "media_type": "text/plain", "data": block.text}
    elif source == "blocks":
        if not block.blocks.blocks:
            found.add(f"{path}.blocks", "has no blocks; leave the document out")
        content = blocks_to_json(block.blocks.blocks, f"{path}.blocks.blocks", found)
        json["source"] = {"type": "content", "content": content}
    else:
        json["source"] = _reference(source, block, path, found)
    json.update({key: value for key in ("title", "context") if (value := getattr(block, key))})
    if block.citations:
        json["citations"] = {"enabled": True}
    return json


def _base64(media_type: str, data: bytes) -> Json:
    text = base64.b64encode(data).decode("ascii")
    return {"type": "base64", "media_type": media_type, "data": text}


def _reference(
    source: str | None, block: pb.ImageBlock | pb.DocumentBlock, path: str, found: Violations
) -> Json:
    if source == "url":
        return {"type": "url", "url": check_name(block.url, f"{path}.url", found)}
    if source == "file_id":
        return {"type": "file", "file_id": check_name(block.file_id, f"{path}.file_id", found)}
    found.add(path, "has no source; set data, url or another of its sources")
    return {}


def _tool_use(block: pb.ToolUseBlock, path: str, found: Violations) -> Json:
    text = block.input_json
    arguments = text_to_json(text, f"{path}.input_json", found) if text else {}
    return {
        "type": "tool_use",
        "id": check_name(block.id, f"{path}.id", found),
        "name": check_name(block.name, f"{path}.name", found),
        "input": arguments,
    }


def _tool_result(block: pb.ToolResultBlock, path: str, found: Violations) -> Json:
    where = f"{path}.tool_use_id"
    json: Json = {"type": "tool_result", "tool_use_id": check_name(block.tool_use_id, where, found)}
    if block.content:
        json["content"] = blocks_to_json(block.content, f"{path}.content", found)
    if block.is_error:
        json["is_error"] = True
    return json


def _thinking(block: pb.ThinkingBlock, _: str, __: Violations) -> Json:
    return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}


def _redacted_thinking(block: pb.RedactedThinkingBlock, _: str, __: Violations) -> Json:
    return {"type": "redacted_thinking", "data": block.data}


def _raw(struct: Any, path: str, found: Violations) -> Json:  # noqa: ANN401  # see _READERS
    return _checked(struct_to_json(struct, path, found), path, found)


def _raw_json(text: str, path: str, found: Violations) -> Json:
    return _checked(text_to_json(text, path, found), path, found)


def _checked(json: Json | None, path: str, found: Violations) -> Json:
    """Check what can be checked of a block that is passed through, and return it."""
    if json is None:
        return {}
    _check_raw(json, path, found)
    return json


def _check_raw(json: Json, path: str, found: Violations) -> None:
    kind = json.get("type")
    if not isinstance(kind, str) or not kind:
        found.add(f"{path}.type", "is missing; a raw block names its type")
    source = json.get("source")
    if kind not in ("image", "document") or not isinstance(source, dict):
        return
    if source.get("type") != "base64":
        return
    try:
        data = base64.b64decode(source["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        found.add(f"{path}.source.data", "is not base64 (RFC 4648, with padding, on one line)")
        return
    media_type = source.get("media_type")
    if isinstance(media_type, str) and media_type in (*media.IMAGES, media.PDF):
        _check_file(data, media_type, f"{path}.source.data", found)


def _check_file(data: bytes, media_type: str, path: str, found: Violations) -> None:
    if problem := media.fault(data, media_type):
        found.add(path, problem)


# Field of ContentBlock → its reader. Each takes a message of its own type, or a string.
_READERS: Final[dict[str, Callable[[Any, str, Violations], Json]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted_thinking,
    "raw": _raw,
    "raw_json": _raw_json,
}
