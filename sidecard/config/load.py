"""Loading: flags over environment over file over defaults, and every mistake in one go."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecard.config import file
from sidecard.config.check import Checked, check
from sidecard.config.environment import (
    CONFIG_VARIABLE,
    Setting,
    from_environment,
    from_flags,
    gateway,
)
from sidecard.config.problems import ConfigError, Problem, Source, dotted, shown
from sidecard.config.problems import Path as Place
from sidecard.config.routes import DEFAULT_MODELS, DEFAULT_ROUTE
from sidecard.config.schema import Config
from sidecard.core.jsonio import JsonValue

__all__ = ["ConfigError", "Loaded", "Problem", "attempt", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the dotted paths of what was set in it, and its file if there is one.

    `sha256` is of the file's bytes as they were read, "" without a file.
    """

    config: Config
    given: frozenset[str]
    file: Path | None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is good of a configuration, all that is wrong with it, and who set what."""

    loaded: Loaded
    checked: Checked
    problems: tuple[Problem, ...]
    sources: Mapping[Place, Source]


def load(path: Path | None, env: Mapping[str, str], flags: Mapping[str, str]) -> Loaded:
    """Return the configuration; raises `ConfigError` with every mistake in it.

    `path` is the file that was asked for, else $SIDECARD_CONFIG names one, if any.
    `flags` maps dotted paths to values, which are read like those of the environment.
    """
    tried = attempt(path, env, flags)
    if tried.problems:
        raise ConfigError(tried.problems)
    return tried.loaded


def attempt(path: Path | None, env: Mapping[str, str], flags: Mapping[str, str]) -> Attempt:
    """Return what `load` does, be it whole or not, with the mistakes beside it."""
    named = env.get(CONFIG_VARIABLE, "").strip()
    path = path or (Path(named) if named else None)
    content = file.read(path) if path else file.Content()
    values, sources = content.values, content.sources
    settings, mistakes = from_environment(env)
    if "routes" not in values:
        targets: JsonValue = [{"model": model} for model in DEFAULT_MODELS]
        values["routes"] = {DEFAULT_ROUTE: {"targets": targets}}
    for setting in (*settings, *from_flags(flags)):
        mistakes += _put(values, sources, setting)
    given = frozenset(map(dotted, _leaves(values, sources)))
    # Not among what is given: the clients of other clouds must not take it for theirs.
    _put_gateway(values, sources, gateway(env))
    checked = check(values, sources, whole=content.whole)
    told = (*content.problems, *mistakes, *checked.problems)
    return Attempt(Loaded(checked.config, given, path, content.sha256), checked, told, sources)


def _put_gateway(
    values: dict[str, JsonValue], sources: dict[Place, Source], setting: Setting | None
) -> None:
    upstream = values.setdefault("upstream", {})
    if setting is None or not isinstance(upstream, dict) or "base_url" in upstream:
        return
    if upstream.get("sdk_client", "anthropic") == "anthropic":
        upstream["base_url"] = setting.value
        sources[setting.path] = setting.source


def _put(
    values: dict[str, JsonValue], sources: dict[Place, Source], setting: Setting
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
            return [Problem(dotted(setting.path), setting.source.words, f"can't be set: {told}")]
    here[last] = setting.value
    for path in [p for p in sources if p[: len(setting.path)] == setting.path]:
        del sources[path]
    sources[setting.path] = setting.source
    return []


def _leaves(
    values: Mapping[str, JsonValue],
    sources: Mapping[Place, Source],
    path: Place = (),
) -> Iterator[Place]:
    for name, value in values.items():
        here = (*path, name)
        if isinstance(value, dict):
            yield from _leaves(value, sources, here)
        elif any(here[:length] in sources for length in range(1, len(here) + 1)):
            yield here
