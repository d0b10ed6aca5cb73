"""What is redacted of a call: the texts of its messages, system, tools and metadata.

What a tool was called with is data of no known form: all of it is redacted, names of fields too.
"""

from dataclasses import replace
from typing import Final

from sidecard.core.call import Call
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.policy.redaction import Redactor

_AS_IT_IS: Final = frozenset(
    {
        "cache_control",
        "encrypted_content",
        "file_id",
        "id",
        "media_type",
        "name",
        "role",
        "signature",
        "tool_use_id",
        "type",
        "url",
    }
)
"""Keys of a message whose values are no text of a person, or must be what the upstream gave."""
_SIGNED: Final = frozenset({"thinking", "redacted_thinking"})
_ASKED: Final = ("system", "tools", "metadata")

Names = tuple[str, ...]


def redacted(call: Call, redactor: Redactor, names: Names) -> Call:
    """Return the call with its texts redacted; pictures, files and what is signed stay."""
    parameters = call.parameters
    if asked := [name for name in _ASKED if name in parameters]:
        changed = {name: _value(parameters[name], redactor, names) for name in asked}
        parameters = {**parameters, **changed}
    messages = tuple([_object(message, redactor, names) for message in call.messages])
    return replace(call, messages=messages, parameters=parameters)


def _value(value: JsonValue, redactor: Redactor, names: Names) -> JsonValue:
    if isinstance(value, str):
        return redactor(value, names)
    if isinstance(value, list):
        return [_value(item, redactor, names) for item in value]
    return _object(value, redactor, names) if isinstance(value, dict) else value


def _object(value: JsonObject, redactor: Redactor, names: Names) -> JsonObject:
    kind = value.get("type")
    if kind == "base64" or kind in _SIGNED:
        return value
    data = "input" if str(kind).endswith("tool_use") else None
    return {
        key: _data(item, redactor, names)
        if key == data
        else item
        if key in _AS_IT_IS
        else _value(item, redactor, names)
        for key, item in value.items()
    }


def _data(value: JsonValue, redactor: Redactor, names: Names) -> JsonValue:
    if isinstance(value, str):
        return redactor(value, names)
    if isinstance(value, list):
        return [_data(item, redactor, names) for item in value]
    if isinstance(value, dict):
        return {redactor(key, names): _data(value[key], redactor, names) for key in value}
    return value
