"""JSON Schemas of callers: whether they are any, remembered for the next call with the same.

Tools and output schemas are the same from call to call,
and the JSON of a large Struct is the dearest part of decoding.
"""

import functools
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.struct_pb2 import Struct

from sidecard.core.jsonio import JsonObject
from sidecard.server.wire.json_values import struct_to_json
from sidecard.server.wire.violations import Violations, shown

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_MOST_BYTES: Final = 1 << 20
"""How much is remembered, as the wire has it; as Python's objects it is about five times that.
And the most that one schema may take: measured, one of 10 MB held up everybody for 4 s."""


@dataclass(frozen=True, slots=True)
class _Known:
    json: JsonObject
    problem: str | None
    wire_bytes: int


class Schemas:
    """Reads schemas and remembers the latest. One for the process."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._bytes = 0

    def read(self, struct: Struct, path: str, found: Violations) -> JsonObject:
        """Return the schema at `path`, noting what is wrong with it. Nobody changes the result."""
        if (size := struct.ByteSize()) > _MOST_BYTES:
            found.add(path, f"takes {size:,} bytes; a schema may take {_MOST_BYTES:,}")
            return {}
        wire = struct.SerializeToString(deterministic=True)
        key = hashlib.blake2b(wire, digest_size=32).digest()
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        else:
            json = struct_to_json(struct, path, found)
            if json is None:
                return {}
            known = _Known(json, _problem(json), len(wire))
            self._remember(key, known)
        if known.problem is not None:
            found.add(path, known.problem)
        return known.json

    def _remember(self, key: bytes, known: _Known) -> None:
        self._known[key] = known
        self._bytes += known.wire_bytes
        while self._bytes > _MOST_BYTES:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= oldest.wire_bytes

    def __repr__(self) -> str:
        return f"<Schemas: {len(self._known)} known, {self._bytes:,} bytes>"


def _problem(schema: JsonObject) -> str | None:
    """Return why `schema` is no JSON Schema, None when it is one.

    It is held against the specification's own schema of schemas, which takes microseconds;
    compiling it would let a caller block everybody for the time that its patterns take.
    Nothing is fetched: `$schema` and `$ref` are the caller's.
    """
    from jsonschema_rs import ValidationError  # noqa: PLC0415  # see _metaschema

    try:
        _metaschema().validate(schema)
    except ValidationError as error:
        place = "".join([f"/{shown(str(step), quote='')}" for step in error.instance_path[:16]])
        where = f"at {place}: " if place else ""
        return f"is no JSON Schema (2020-12): {where}{shown(error.message, quote='')}"
    except ValueError:
        return "is no JSON Schema (2020-12): it is nested too deeply"
    return None


@functools.cache
def _metaschema() -> "Draft202012Validator":
    # 50 ms and 10 MB that a daemon whose callers use neither tools nor schemas saves.
    from jsonschema_rs import Draft202012Validator  # noqa: PLC0415

    return Draft202012Validator({"$ref": _DIALECT}, offline=True, mask="a value here")
