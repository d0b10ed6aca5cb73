"""The vectors as they are written in clients/conformance/vectors; a misspelt key is a mistake."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "clients/conformance/vectors"
Json = dict[str, Any]
Method = Literal["generate", "stream", "count_tokens"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a vector, and what the client has to report of it."""

    method: Method
    request: Json
    expect: Json
    request_id: str = ""
    timeout_s: float | None = None
    leave: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """Calls of one client, before a daemon and an upstream with a script.

    `daemon` is its configuration, `upstream` the simulator's script. With `daemon_says`, a daemon
    that the vector writes takes the place of both.
    """

    name: str
    promise: str
    calls: tuple[Step, ...]
    daemon: Json = field(default_factory=dict)
    upstream: list[Json] = field(default_factory=list)
    client: Json = field(default_factory=dict)
    daemon_says: Json | None = None
    daemon_calls: int | None = None
    daemon_heard: list[Json] | None = None
    upstream_requests: int | None = None
    upstream_abandoned: int | None = None
    upstream_got: Json | None = None


def read(files: Iterable[Path] | None = None) -> list[Vector]:
    """Return the vectors of all files; ValueError for one that isn't written as agreed."""
    every = sorted(FOLDER.glob("*.yaml")) if files is None else files
    vectors = [vector for path in every for vector in _file(path)]
    names = [vector.name for vector in vectors]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two vectors have one name: {', '.join(twice)}")
    return vectors


def _file(path: Path) -> list[Vector]:
    return [_vector(raw, path) for raw in yaml.safe_load(path.read_text())]


def _vector(raw: Json, path: Path) -> Vector:
    where = f"{path.name}: {raw.get('name', '?')}"
    steps = tuple([_made(Step, step, where) for step in raw["calls"]])
    for step in steps:
        if step.method not in get_args(Method):
            raise ValueError(f"{where}: no method is called {step.method}")
    vector = _made(Vector, {**raw, "calls": steps}, where)
    if vector.daemon_says is not None and (vector.upstream or vector.daemon):
        raise ValueError(f"{where}: daemon_says takes the place of daemon and upstream")
    return vector


def _made(kind: type[_T], raw: Mapping[str, Any], where: str) -> _T:
    try:
        return kind(**raw)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None
