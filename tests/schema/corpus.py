"""Answers as models really write them, by kind, and what becomes of them.

`outputs/` has a file for each kind: the schema's name, the value that all of its answers mean,
and the answers, each after a line `%%`. A kind without a value has answers that satisfy no
schema, or that mean nothing certain: none of them may come through.
`python -m tests.schema.corpus` tells the figures.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from sidecard.schema.judge import Judge

_FILES: Final = Path(__file__).parent / "outputs"
_LINE: Final = "\n%%\n"

_PRODUCT: Final = {
    "type": "object",
    "properties": {
        "product_id": {"enum": ["P1", "P2", "P3"]},
        "price": {"type": "number"},
        "in_stock": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
    },
    "required": ["product_id", "price"],
    "additionalProperties": False,
}
_ITEM: Final = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["sku", "count"],
    "additionalProperties": False,
}
_ORDER: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "customer": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        },
        "items": {"type": "array", "items": _ITEM},
    },
    "required": ["id", "items"],
}
SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "product": _PRODUCT,
    "order": _ORDER,
    "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
}


class Kind(NamedTuple):
    """Answers that are broken in one way; `value` is what they mean, empty if nothing."""

    name: str
    schema: str
    value: str
    answers: tuple[str, ...]


def kinds() -> list[Kind]:
    """Return all kinds, by name."""
    return [_read(path) for path in sorted(_FILES.glob("*.txt"))]


def outcome(kind: Kind, answer: str) -> str:
    """Return the JSON that is taken for an answer, empty where none is."""
    told: dict[str, Any] = {}
    for part in Judge().answers(json.dumps(SCHEMAS[kind.schema]), answer):
        told |= part
    return str(told["output_json"]) if told["valid"] else ""


def _read(path: Path) -> Kind:
    head, *answers = path.read_bytes().decode().removesuffix("\n").split(_LINE)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    return Kind(path.stem, fields["schema"], fields.get("value", ""), tuple(answers))


def main() -> None:
    """Tell the figures."""
    found = [(kind, [outcome(kind, answer) for answer in kind.answers]) for kind in kinds()]
    for kind, taken in found:
        right = sum(json_ == kind.value for json_ in taken if json_)
        wrong = sum(json_ != kind.value for json_ in taken if json_)
        none = "" if kind.value else "  (none may)"
        line = f"{kind.name:16}{len(taken):4} answers{right:4} taken{wrong:4} taken wrongly{none}\n"
        sys.stdout.write(line)
    meant = [(kind, taken) for kind, taken in found if kind.value]
    total = sum(len(taken) for _, taken in meant)
    right = sum(json_ == kind.value for kind, taken in meant for json_ in taken)
    every = sum(len(taken) for _, taken in found)
    sys.stdout.write(f"{every} answers; of {total} that mean one value {right} taken\n")


if __name__ == "__main__":
    main()
