"""A configuration together with the upstream that it means, and the mistakes of both in one go."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sidecard.config.load import Attempt, Loaded, attempt
from sidecard.config.problems import ConfigError, Problem, dotted
from sidecard.config.simulate import DECIDING, Upstream, choose_upstream


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration without mistakes, and the upstream that it means."""

    loaded: Loaded
    upstream: Upstream


def plan(path: Path | None, env: Mapping[str, str], flags: Mapping[str, str]) -> Plan:
    """Return what is configured; raises `ConfigError` with every mistake, the key's included.

    Takes what `load.load` does.
    """
    tried = attempt(path, env, flags)
    found = [*tried.problems, *_unusable(tried)]
    if not tried.checked.knows(DECIDING):
        raise ConfigError(found)
    try:
        upstream = choose_upstream(tried.loaded, env)
    except ConfigError as error:
        found += [_placed(problem, tried) for problem in error.problems]
        raise ConfigError(found) from None
    if found:
        raise ConfigError(found)
    return Plan(tried.loaded, upstream)


def _unusable(tried: Attempt) -> list[Problem]:
    """Return what is wrong with the certificates' files."""
    tls = tried.loaded.config.listen.tls
    if tls is None or not tried.checked.knows([("listen", "tls")]):
        return []
    from sidecard.config.certificates import BadCertificates, read  # noqa: PLC0415  # costs 50 ms

    try:
        read(tls)
    except BadCertificates as error:
        return [_placed(Problem(f"listen.tls.{error.field}", "", str(error)), tried)]
    return []


def _placed(problem: Problem, tried: Attempt) -> Problem:
    """Return a problem with the place in the file that it is about, if there is one."""
    places = (source for path, source in tried.sources.items() if dotted(path) == problem.path)
    place = next(places, None)
    return replace(problem, source=place.words, line=place.line) if place else problem
