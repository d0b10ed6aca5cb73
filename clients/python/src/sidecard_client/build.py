"""A `GenerateRequest` of plain values: enums by short names, and mistakes told by their field."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from sidecard.v1 import content_pb2, generation_pb2

Fields: TypeAlias = Mapping[str, Any]
"""A message of the contract as a dict: `{"name": "f", "input_schema": {"type": "object"}}`."""

_PACKAGE: Final = "sidecard.v1"
_KNOWN: Final = cast(
    "Mapping[str, FieldDescriptor]", generation_pb2.GenerateRequest.DESCRIPTOR.fields_by_name
)
_PLAIN: Final = {
    FieldDescriptor.CPPTYPE_INT32: "a whole number",
    FieldDescriptor.CPPTYPE_INT64: "a whole number",
    FieldDescriptor.CPPTYPE_STRING: "text",
}


def build(prompt: str | None, fields: Fields) -> generation_pb2.GenerateRequest:
    """Return the request; raises TypeError for what is no field of it, ValueError inside one.

    TypeError, too, for a value of another type than its field's.
    """
    if unknown := sorted(fields.keys() - _KNOWN.keys()):
        raise TypeError(f"unexpected keyword argument: {', '.join(unknown)}")
    given: dict[str, Any] = {
        name: _numbered(_KNOWN[name], value, name) for name, value in fields.items()
    }
    messages = fields.get("messages") or ()
    given["messages"] = [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]
    given["prompt"] = prompt
    try:
        return generation_pb2.GenerateRequest(**given)
    except (TypeError, ValueError, AttributeError):
        _tell(given)
        raise


def _tell(given: Fields) -> None:
    """Raise the first field's mistake, with its name and what it takes."""
    for name, value in given.items():
        try:
            generation_pb2.GenerateRequest(**{name: value})
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        except (TypeError, AttributeError) as error:
            told = f"{name}: expected {_taken(_KNOWN[name])}; {error}"
            raise TypeError(told) from None


def _taken(field: FieldDescriptor) -> str:
    """Return what a field takes, in words."""
    kind = field.message_type
    if kind is None:
        return f"{'a list of ' if field.is_repeated else ''}{_PLAIN.get(field.cpp_type, 'a name')}"
    if kind.GetOptions().map_entry:
        return "a dict of texts"
    if kind.file.package != _PACKAGE:
        return "a dict, as JSON has it"
    shown = f"a {kind.name} or a dict of its fields"
    return f"a list, each {shown}" if field.is_repeated else shown


def _numbered(field: FieldDescriptor, value: object, at: str) -> object:
    """Return the value with numbers for the names of enums."""
    if field.enum_type is not None:
        if field.is_repeated and isinstance(value, list | tuple):
            return [_number(field.enum_type, one, f"{at}[{i}]") for i, one in enumerate(value)]
        return _number(field.enum_type, value, at)
    kind = field.message_type
    if kind is None or kind.file.package != _PACKAGE or not isinstance(value, Mapping):
        return value
    inner = kind.fields_by_name
    return {
        name: _numbered(inner[name], one, f"{at}.{name}") if name in inner else one
        for name, one in value.items()
    }


def _number(enum: EnumDescriptor, value: object, at: str) -> object:
    """Return the number of a name, which may be long or short, in capitals or small."""
    if not isinstance(value, str):
        return value
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    found = enum.values_by_name.get(prefix + value.upper().removeprefix(prefix))
    if found is None:
        known = [one.name.removeprefix(prefix) for one in enum.values if one.number]
        raise ValueError(f"{at}: {value!r} is not one of {', '.join(known)}")
    return found.number


def _message(message: content_pb2.Message | Fields, at: str) -> content_pb2.Message:
    if isinstance(message, content_pb2.Message):
        return message
    if not isinstance(message, Mapping):
        raise TypeError(f"{at}: expected a Message or a dict with role and content; {message!r}")
    if missing := [name for name in ("role", "content") if message.get(name) is None]:
        has = ", ".join(map(str, message)) or "nothing"
        raise ValueError(f"{at}: expected role and content; {missing[0]} is missing, it has {has}")
    role, content = message["role"], message["content"]
    role = _number(content_pb2.Role.DESCRIPTOR, role, f"{at}.role")
    blocks = [content] if isinstance(content, str) else content
    try:
        content = [{"text": {"text": one}} if isinstance(one, str) else one for one in blocks]
        return content_pb2.Message(**{**message, "role": role, "content": content})
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from None
    except TypeError as error:
        told = "expected content to be text, or a list of texts and blocks"
        raise TypeError(f"{at}: {told}; {error}") from None
