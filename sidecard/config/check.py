"""Plain values to a `Config`, with all that is wrong with them in sentences for the operator."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sidecard.config import rules
from sidecard.config.kinds import TOLD
from sidecard.config.problems import Path, Problem, Source, dotted, shown
from sidecard.config.schema import Config
from sidecard.config.tree import nearest
from sidecard.core.jsonio import JsonValue

DEFAULTS: Final = Source("defaults")

_LISTS: Final = frozenset({"tuple_type", "list_type"})
_MAPPINGS: Final = frozenset({"model_type", "dict_type", "mapping_type"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What is good of a configuration, all that is wrong with it, and where that is."""

    config: Config
    problems: tuple[Problem, ...]
    failed: frozenset[Path]

    def knows(self, paths: Iterable[Path]) -> bool:
        """Whether what `config` has at these paths is what was meant."""
        return not any(path[:end] in self.failed for path in paths for end in range(len(path) + 1))


def check(
    values: Mapping[str, JsonValue], sources: Mapping[Path, Source], *, whole: bool = True
) -> Checked:
    """Return the configuration and every mistake in it.

    What fails is left out, so that it hides no mistake in the rest.
    `sources` says for each path who set it. Where `values` are not the `whole` of what was meant,
    nothing is said about what fields are to one another.
    """
    config, details, failed = _good(values)
    problems = [_problem(detail, sources) for detail in details]
    checked = Checked(config, (), frozenset(failed if whole else {()}))
    routes = values.get("routes")
    for mistake in rules.mistakes(config, routes if isinstance(routes, dict) else ()):
        paths = (mistake.at, *mistake.also)
        if checked.knows(paths):
            blamed = next((path for path in paths if path in sources), mistake.at)
            problems.append(_told(blamed, mistake.message, sources))
    config = config.model_copy(update={"timeouts": rules.followed(config.timeouts)})
    return Checked(config, tuple(problems), checked.failed)


def source_of(path: Path, sources: Mapping[Path, Source]) -> Source:
    """Return who set what is at `path`: itself, or the nearest thing around it."""
    around = (path[:length] for length in range(len(path), -1, -1))
    return next((sources[p] for p in around if p in sources), DEFAULTS)


def _good(values: Mapping[str, JsonValue]) -> tuple[Config, list[ErrorDetails], set[Path]]:
    """Return what is valid, the mistakes in the rest, and the paths of it."""
    good = deepcopy(dict(values))
    details: list[ErrorDetails] = []
    failed: set[Path] = set()
    while True:
        try:
            return Config.model_validate(good), details, failed
        except ValidationError as error:
            found = error.errors(include_url=False)
        # What the first round left out may be missed in the next: that is no mistake of its own.
        details = details or found
        _drop(good, [_path(detail) for detail in found], failed)


def _drop(good: dict[str, JsonValue], paths: list[Path], failed: set[Path]) -> None:
    """Take out what fails, and with it what can't be without it."""
    dropped: set[Path] = set()
    # Backwards, so that positions in lists still hold.
    for path in reversed(paths):
        if not any(path[:end] in dropped for end in range(len(path) + 1)):
            dropped.add(_drop_one(good, path, failed))
    failed.update(paths)


def _drop_one(good: dict[str, JsonValue], path: Path, failed: set[Path]) -> Path:
    parents: list[JsonValue] = [good]
    for step in path[:-1]:
        parents.append(parents[-1][step])
    for end in range(len(path), 0, -1):
        parent, step = parents[end - 1], path[end - 1]
        if isinstance(parent, list):
            # With an item gone those after it move up, and aren't what was meant where they are.
            failed.update((*path[: end - 1], index) for index in range(int(step), len(parent)))
        if isinstance(parent, list) or (isinstance(parent, dict) and step in parent):
            del parent[step]  # type: ignore[arg-type]
            return path[:end]
    good.clear()
    return ()


def _path(detail: ErrorDetails) -> Path:
    path: Path = detail["loc"]
    return path[:-1] if path[-1:] == ("[key]",) else path


def _problem(detail: ErrorDetails, sources: Mapping[Path, Source]) -> Problem:
    path = _path(detail)
    return _told(path, _message(detail, path), sources)


def _told(path: Path, message: str, sources: Mapping[Path, Source]) -> Problem:
    source = source_of(path, sources)
    return Problem(dotted(path), source.words, message, source.line)


def _message(detail: ErrorDetails, path: Path) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == TOLD:
        return detail["msg"]
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(path[:-1], str(path[-1]))}"
    if kind == "missing":
        return "expected to be given, as it has no default"
    if isinstance(value, str) and not _is_utf8(value):
        return "expected text in UTF-8, got other bytes"
    expected = detail["msg"]
    if kind in _LISTS:
        expected = "a list"
    elif kind in _MAPPINGS:
        expected = "a mapping of names to settings"
    elif kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "")
    return f"expected {expected}, got {shown(value, path)}"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
