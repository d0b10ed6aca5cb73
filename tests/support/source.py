"""Python source as the structure tests read it: files, their imports and their functions."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENT = "clients/python/src/"
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module or name, dotted; `lazy` when it happens inside a function."""

    name: str
    line: int
    lazy: bool

    def within(self, module: str) -> bool:
        """Whether it is the module or something in it."""
        return self.name == module or self.name.startswith(f"{module}.")


class Source:
    """One file: its path from the root of its distribution, such as sidecard/core/call.py."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.tree = ast.parse(text)

    @property
    def lines(self) -> int:
        """How many lines the file has."""
        return len(self.text.splitlines())

    @cached_property
    def imports(self) -> list[Import]:
        """Every import, `from a import b` as a.b, relative ones resolved."""
        return list(self._imports_under(self.tree, lazy=False))

    def _imports_under(self, node: ast.AST, *, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(name.name, child.lineno, lazy) for name in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = self._base_of(child)
                names = (f"{base}.{name.name}" for name in child.names)
                yield from (Import(name, child.lineno, lazy) for name in names)
            else:
                inside = lazy or isinstance(child, FunctionNode)
                yield from self._imports_under(child, lazy=inside)

    def _base_of(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.path.removesuffix(".py").split("/")[: -node.level]
        return ".".join([*package, *([node.module] if node.module else [])])

    @property
    def functions(self) -> Iterator[FunctionNode]:
        """Every function and method, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, FunctionNode))

    def in_any(self, prefixes: Iterable[str]) -> bool:
        """Whether the file's path starts with one of these."""
        return self.path.startswith(tuple(prefixes))

    def __repr__(self) -> str:
        return f"<Source {self.path}, {self.lines} lines>"


def read(*folders: str) -> list[Source]:
    """Read every Python file under these folders of the repository, generated ones left out."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Source(named(path), path.read_text()) for path in paths if "_pb2" not in path.name]


def named(path: Path) -> str:
    """Name a file from the root of its distribution."""
    return path.relative_to(ROOT).as_posix().removeprefix(CLIENT)


def length(function: FunctionNode) -> int:
    """How many lines a function has, from its `def` to its last."""
    return (function.end_lineno or function.lineno) - function.lineno + 1
