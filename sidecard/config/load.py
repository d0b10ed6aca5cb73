"""Loading: flags over environment over file over defaults, and every mistake in one go."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecard.config import problems
from sidecard.config.check import check
from sidecard.config.environment import CONFIG_VARIABLE, Setting, from_environment, from_flags
from sidecard.config.problems import ConfigError, Problem, dotted, shown
from sidecard.config.schema import DEFAULT_MODEL, DEFAULT_ROUTE, Config
from sidecard.core.jsonio import JsonValue

__all__ = ["ConfigError", "Loaded", "Problem", "load"]

MAX_FILE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the dotted paths of what was set in it, and its file if there is one."""

    config: Config
    given: frozenset[str]
    file: Path | None


def load(path: Path | None, env: Mapping[str, str], flags: Mapping[str, str]) -> Loaded:
    """Return the configuration; raises `ConfigError` with every mistake in it.

    `path` is the file that was asked for, else $SIDECARD_CONFIG names one, if any.
    `flags` maps dotted paths to values, which are read like those of the environment.
    """
    named = env.get(CONFIG_VARIABLE, "").strip()
    file = path or (Path(named) if named else None)
    values, sources, mistakes = _from_file(file) if file else ({}, {}, [])
    settings, unknown = from_environment(env)
    mistakes += unknown
    if "routes" not in values:
        values["routes"] = {DEFAULT_ROUTE: {"targets": [{"model": DEFAULT_MODEL}]}}
    for setting in (*settings, *from_flags(flags)):
        mistakes += _put(values, sources, setting)
    checked = check(values, sources)
    if isinstance(checked, list):
        mistakes += checked
    if mistakes or isinstance(checked, list):
        raise ConfigError(mistakes)
    return Loaded(checked, frozenset(map(dotted, _leaves(values, sources))), file)


def _from_file(file: Path) -> tuple[dict[str, JsonValue], dict[problems.Path, str], list[Problem]]:
    source = f"file {file}"
    try:
        text = _read(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return {}, {}, [Problem("", source, f"can't read the configuration: {reason}")]
    from sidecard.config import document  # noqa: PLC0415  # yaml: 20 ms, for a file alone

    parsed = document.parse(text)
    mistakes = document.problems(parsed, source)
    sources = {path: f"{source}, line {line}" for path, line in parsed.lines.items()}
    if not isinstance(parsed.values, dict):
        if parsed.values is not None:
            told = f"expected a mapping of sections, got {_kind(parsed.values)}"
            mistakes.append(Problem("", source, told))
        return {}, {}, mistakes
    # A section whose every line is commented out is there, and empty.
    values = {name: value for name, value in parsed.values.items() if value is not None}
    empty = parsed.values.keys() - values.keys() - Config.model_fields.keys()
    return values | dict.fromkeys(empty), sources, mistakes


def _kind(value: object) -> str:
    return shown(value) if isinstance(value, list) else "a single value"


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        msg = f"it is larger than {MAX_FILE_BYTES} bytes"
        raise ValueError(msg)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"it is not UTF-8 text, from byte {error.start} on"
        raise ValueError(msg) from None


def _put(
    values: dict[str, JsonValue], sources: dict[problems.Path, str], setting: Setting
) -> list[Problem]:
    """Set one value; or return why that can't be."""
    *parents, last = setting.path
    here: JsonValue = values
    for depth, name in enumerate(parents, 1):
        if name not in here:
            here[name] = {}
            sources[setting.path[:depth]] = setting.source
        here = here[name]
        if not isinstance(here, dict):
            around = setting.path[:depth]
            told = f"{dotted(around)} is {shown(here, around)}, which is set as a whole"
            return [Problem(dotted(setting.path), setting.source, f"can't be set: {told}")]
    here[last] = setting.value
    for path in [p for p in sources if p[: len(setting.path)] == setting.path]:
        del sources[path]
    sources[setting.path] = setting.source
    return []


def _leaves(
    values: Mapping[str, JsonValue], sources: Mapping[problems.Path, str], path: problems.Path = ()
) -> Iterator[problems.Path]:
    for name, value in values.items():
        here = (*path, name)
        if isinstance(value, dict):
            yield from _leaves(value, sources, here)
        elif any(here[:length] in sources for length in range(1, len(here) + 1)):
            yield here
