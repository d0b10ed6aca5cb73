"""Plain values to a `Config`, or all that is wrong with them, in sentences for the operator."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sidecard.config.kinds import TOLD, Mistakes
from sidecard.config.problems import Path, Problem, dotted, shown
from sidecard.config.schema import Config
from sidecard.config.tree import nearest
from sidecard.core.jsonio import JsonValue

DEFAULTS: Final = "defaults"

_LISTS: Final = frozenset({"tuple_type", "list_type"})
_MAPPINGS: Final = frozenset({"model_type", "dict_type", "mapping_type"})


def check(values: Mapping[str, JsonValue], sources: Mapping[Path, str]) -> Config | list[Problem]:
    """Return the configuration, or every mistake in it.

    `sources` says for each path where it was set, in words.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    return [problem for detail in details for problem in _problems(detail, sources)]


def _problems(detail: ErrorDetails, sources: Mapping[Path, str]) -> Iterator[Problem]:
    path: Path = detail["loc"]
    if path and path[-1] == "[key]":
        path = path[:-1]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Mistakes):
        for mistake in cause.mistakes:
            paths = [(*path, name) for name in mistake.fields]
            blamed = next((p for p in paths if p in sources), paths[0])
            yield Problem(dotted(blamed), source_of(blamed, sources), mistake.message)
    else:
        yield Problem(dotted(path), source_of(path, sources), _message(detail, path))


def source_of(path: Path, sources: Mapping[Path, str]) -> str:
    """Return who set what is at `path`: itself, or the nearest thing around it."""
    around = (path[:length] for length in range(len(path), -1, -1))
    return next((sources[p] for p in around if p in sources), DEFAULTS)


def _message(detail: ErrorDetails, path: Path) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == TOLD:
        return detail["msg"]
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(path[:-1], str(path[-1]))}"
    if kind == "missing":
        return "expected to be given, as it has no default"
    expected = detail["msg"]
    if kind in _LISTS:
        expected = "a list"
    elif kind in _MAPPINGS:
        expected = "a mapping of names to settings"
    elif kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "")
    return f"expected {expected}, got {shown(value, path)}"
