"""What is redacted of a call: the texts of its messages and of its system, and of tools' use."""

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

Names = tuple[str, ...]


def redacted(call: Call, redactor: Redactor, names: Names) -> Call:
    """Return the call with its texts redacted; pictures, files and what is signed stay."""
    parameters = call.parameters
    if "system" in parameters:
        parameters = {**parameters, "system": _value(parameters["system"], redactor, names)}
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
    return {
        key: item if key in _AS_IT_IS else _value(item, redactor, names)
        for key, item in value.items()
    }
