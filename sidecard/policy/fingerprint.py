"""Fingerprints: whether two calls ask the same, as 32 bytes that are kept on disk.

Two calls have one fingerprint when nothing that could change the answer tells them apart:
the model, all parameters (those of `extra` are among them), the messages, the output schema,
whose answer it is: tenant and cache namespace; and which upstream gives it.
Who asks, how urgently, at what price and until when is not part of it.

The order of keys doesn't matter, nor does how a number is written: `1`, `1.0` and `1e0`.
Everything else does: the order of lists, `1` and `true`, `1` and `"1"`, and each character of
a text, as Unicode's ways to write one letter are other tokens to a model.
Of defaults only those are left out that the API's own types document (`anthropic/types/`):

- a message whose `content` is a string is one with that text as its only block
  (`message_create_params.py`: "the following input messages are equivalent");
- `disable_parallel_tool_use` of a tool choice is false (`tool_choice_auto_param.py`);
- `ttl` of a cache control is "5m" (`cache_control_ephemeral_param.py`);
- `eager_input_streaming` of a tool is null (`tool_param.py`);
- `transformations` of an image is {} (`image_block_param.py`).

A default that is documented elsewhere, or for some models, would be a guess: a wrong one
gives somebody another's answer, a missing one costs a call.
"""

import hashlib
import json
from typing import Final, NamedTuple

from sidecard.core.call import Call
from sidecard.core.jsonio import JsonObject, JsonValue

VERSION: Final = 1
"""Part of every fingerprint: one more whenever any call's changes."""

_PAIR: Final = 2
"""Most messages have a role and content alone, and most blocks a type and a text."""

_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True, check_circular=False, default=dict
).encode


class Fingerprint(NamedTuple):
    """Two hashes of a call, each of 32 bytes. The calls of two tenants have neither in common.

    `whole` is the same where the whole call is.
    `context` leaves out one thing: the texts of the last message's text blocks, if it is a
    user's. That there are so many of them, in these places and with what else they carry,
    is context, and so is every other block. Without such a text, context is all there is.
    """

    whole: bytes
    context: bytes


def fingerprint(call: Call, origin: str = "") -> Fingerprint:
    """Return the fingerprint of what `call` asks of its target at the upstream `origin`.

    Raises ValueError or TypeError for what couldn't be sent either, as it is no JSON.
    """
    taken: list[str] = []
    asked: list[str] = []
    *earlier, last = call.messages
    form = [
        VERSION,
        len(origin),
        call.tenant,
        call.cache.namespace,
        call.target.model,
        _parameters(call.parameters, taken),
        call.output_schema,
        [_message(message, taken, None) for message in earlier],
        _message(last, taken, asked if last.get("role") == "user" else None),
    ]
    context = _hash(_canonical(form), origin, *taken)
    lengths = ",".join([str(len(text)) for text in asked])
    return Fingerprint(_hash(context.hex(), lengths, ":", *asked), context)


class Fingerprints:
    """`fingerprint` for layers that ask for that of one call right after one another.

    State: the call that was asked about last. Safe within one event loop.
    `origin` names the upstream, as another one, or a simulated one, answers otherwise.
    """

    def __init__(self, origin: str = "") -> None:
        self._origin = origin
        self._call: Call | None = None
        self._found = Fingerprint(b"", b"")

    def __call__(self, call: Call) -> Fingerprint:
        """Return the fingerprint of the call; raises as `fingerprint` does."""
        if call is not self._call:
            self._found = fingerprint(call, self._origin)
            self._call = call
        return self._found

    def __repr__(self) -> str:
        return f"<Fingerprints, {'none yet' if self._call is None else 'one'} remembered>"


def _hash(*parts: str) -> bytes:
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).digest()


def _canonical(value: JsonValue) -> str:
    """Return JSON text that is the same for equal values, and for no others.

    A look at the text tells whether there may be whole numbers written as fractions, and is cheap.
    """
    text = _encode(value)
    return _encode(_even(value)) if ".0" in text or "e+" in text else text


def _even(value: JsonValue) -> JsonValue:
    """Return the value with whole numbers as such."""
    kind = type(value)
    if kind is float and value.is_integer():
        return int(value)
    if kind is dict:
        return {key: _even(inner) for key, inner in value.items()}
    if kind is list:
        return [_even(inner) for inner in value]
    return value


# What follows makes the form of a call: JSON that differs wherever calls do, without their texts
# and files, which are taken out as they are and leave their lengths: to escape them as JSON
# would take five times as long as to hash them. A form is a list or a number, and never
# what the caller gave in its place, so that none can be made to look like another.


def _parameters(parameters: JsonObject, taken: list[str]) -> JsonValue:
    rest = dict(_cached(parameters))
    form: list[JsonValue] = [rest]
    if type(choice := rest.get("tool_choice")) is dict:
        rest["tool_choice"] = _without(choice, "disable_parallel_tool_use", default=False)
    if type(tools := rest.get("tools")) is list:
        rest["tools"] = [_tool(tool) if type(tool) is dict else tool for tool in tools]
    if type(system := rest.get("system")) is str:
        del rest["system"]
        form.append(len(system))
        taken.append(system)
    elif type(system) is list:
        del rest["system"]
        form.append([_block(block, taken, None) for block in system])
    return form


def _message(message: JsonObject, taken: list[str], asked: list[str] | None) -> JsonValue:
    """Return a message's form; the texts of its blocks go to `asked` instead, if that is given."""
    content = message.get("content")
    if type(content) is str:
        content = [{"type": "text", "text": content}]
    if type(content) is not list:
        return [message]
    blocks = [_block(block, taken, asked) for block in content]
    if len(message) == _PAIR and type(role := message.get("role")) is str:
        return [role, blocks]
    return [{key: value for key, value in message.items() if key != "content"}, blocks]


def _block(block: JsonValue, taken: list[str], asked: list[str] | None) -> JsonValue:
    """Return a block's form: of a text its length, or null where it is asked."""
    if type(block) is not dict:
        return [block]
    if block.get("type") != "text" or type(text := block.get("text")) is not str:
        return _other(block, taken)
    if asked is None:
        length = len(text)
        taken.append(text)
    else:
        length = None
        asked.append(text)
    if len(block) == _PAIR:
        return length
    rest = {key: value for key, value in block.items() if key != "text"}
    return [_cached(rest), length]


def _other(block: JsonObject, taken: list[str]) -> JsonValue:
    """Return the form of a block that is no text."""
    rest = dict(_cached(block))
    if rest.get("type") == "image":
        rest = dict(_without(rest, "transformations", default={}))
    form: list[JsonValue] = [rest, -1, None]
    if type(source := rest.get("source")) is dict and type(data := source.get("data")) is str:
        rest["source"] = {key: value for key, value in source.items() if key != "data"}
        form[1] = len(data)
        taken.append(data)
    if type(content := rest.get("content")) is list:
        del rest["content"]
        form[2] = [_block(inner, taken, None) for inner in content]
    return form


def _tool(tool: JsonObject) -> JsonObject:
    return _without(_cached(tool), "eager_input_streaming", default=None)


def _cached(holder: JsonObject) -> JsonObject:
    """Return what may have a cache control without the default of that."""
    control = holder.get("cache_control")
    if type(control) is not dict or control.get("ttl") != "5m":
        return holder
    return {**holder, "cache_control": _without(control, "ttl", default="5m")}


def _without(holder: JsonObject, key: str, *, default: JsonValue) -> JsonObject:
    if key not in holder or type(value := holder[key]) is not type(default) or value != default:
        return holder
    return {name: inner for name, inner in holder.items() if name != key}
