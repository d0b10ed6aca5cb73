"""YAML text to plain values, with the line that each came from, and every mistake on the way.

This module alone imports yaml, and is imported where there is a text to read.
Nesting and the number of values are bounded, aliases counted as often as they are used.
"""

import re
from dataclasses import dataclass, field
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sidecard.config.problems import Path, Problem, dotted
from sidecard.config.scalars import scalar
from sidecard.core.jsonio import JsonValue

MAX_VALUES: Final = 5_000
MAX_DEPTH: Final = 20

_QUOTED: Final = re.compile(r"'([^']*)'")
_KINDS: Final = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value", "merge")
)


@dataclass(slots=True)
class Document:
    """Values, the line of each path, and what is wrong with the text itself."""

    values: JsonValue = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[tuple[Path, int, str]] = field(default_factory=list)
    count: int = 0


class _Unbounded(Exception):
    pass


class _Loader(yaml.SafeLoader):
    """Reads no further than a text within the limits can go: its keys and its values."""

    nodes = 0
    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.nodes += 1
        self.depth += 1
        if self.nodes > 2 * MAX_VALUES or self.depth > MAX_DEPTH + 1:
            raise _Unbounded
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse(text: str) -> Document:
    """Return what the text says; `problems` holds (path, line, message), line 0 for none."""
    document = Document()
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            document.values = _value(document, node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = _QUOTED.sub(_word, error.problem or error.context or "")
        document.problems.append(((), mark.line + 1 if mark else 0, f"is not YAML: {told}"))
    except yaml.YAMLError:
        document.problems.append(((), 0, "is not YAML: it has characters that YAML doesn't allow"))
    except _Unbounded:
        limits = f"{MAX_VALUES} values, aliases counted each time, or {MAX_DEPTH} levels"
        document.problems.append(((), 0, f"is too large: it has more than {limits}"))
    return document


def _word(quoted: re.Match[str]) -> str:
    """Return what PyYAML quotes of a text as it may be repeated: a character, a kind of token."""
    word = quoted[1]
    return quoted[0] if len(word) <= 1 or word[0] in "<\\" else "'…'"


def _value(document: Document, node: Node, path: Path) -> JsonValue:
    document.count += 1
    if document.count > MAX_VALUES or len(path) > MAX_DEPTH:
        raise _Unbounded
    document.lines.setdefault(path, node.start_mark.line + 1)
    if node.tag not in _KINDS:
        message = "has a YAML tag (it begins with an exclamation mark); expected a plain value"
        document.problems.append((path, node.start_mark.line + 1, message))
    if isinstance(node, MappingNode):
        return _mapping(document, node, path)
    if isinstance(node, SequenceNode):
        return [_value(document, item, (*path, i)) for i, item in enumerate(node.value)]
    plain = isinstance(node, ScalarNode) and not node.style
    return scalar(node.value) if plain else node.value


def _mapping(document: Document, node: MappingNode, path: Path) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {}
    for key, item in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            document.problems.append(
                (path, line, "expected a name as the key, got a list or mapping")
            )
            continue
        name: str = key.value
        here = (*path, name)
        if name in values:
            message = f"is given twice, first in line {document.lines[here]}"
            document.problems.append((here, line, message))
        document.lines[here] = line
        values[name] = _value(document, item, here)
    return values


def problems(document: Document, source: str) -> list[Problem]:
    """Return what is wrong with the text of `source`."""
    return [
        Problem(dotted(path), f"{source}, line {line}" if line else source, message, line)
        for path, line, message in document.problems
    ]
