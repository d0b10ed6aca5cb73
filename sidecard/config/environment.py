"""`SIDECARD_<SECTION>__<FIELD>`: settings from the environment and from flags, as paths and values.

A value is a scalar as in YAML, or a list or mapping in YAML's flow form, of which JSON is a part:
`SIDECARD_UPSTREAM__MODELS='["claude-*"]'`. An empty variable is as good as none.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from sidecard.config.problems import Problem, Source
from sidecard.config.scalars import scalar
from sidecard.config.schema import Config
from sidecard.config.tree import field_at, fields_of, key_hint
from sidecard.core.jsonio import JsonValue

PREFIX: Final = "SIDECARD_"
CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"
BASE_URL_VARIABLE: Final = "ANTHROPIC_BASE_URL"
# The clients and other commands have the rest of these, perhaps in one environment with ours.
_OTHERS: Final = ("ADDRESS", "ADMIN", "TOKEN", "TLS_CA", "TLS_CERT", "TLS_KEY", "TLS_NAME")
KNOWN: Final = frozenset({CONFIG_VARIABLE, *[f"{PREFIX}{name}" for name in _OTHERS]})
_HINTED: Final = [f"{PREFIX}ADDRESS", CONFIG_VARIABLE]
# Kubernetes sets these for a service named sidecard, or sidecard-something.
_SERVICE_LINK: Final = re.compile(
    r"SIDECARD_(?:[A-Z0-9]+_)*(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9]+)*"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One value for one path, and who set it."""

    path: tuple[str, ...]
    value: JsonValue
    source: Source


def from_environment(env: Mapping[str, str]) -> tuple[list[Setting], list[Problem]]:
    """Return what the environment sets, and its mistakes."""
    settings: list[Setting] = []
    problems: list[Problem] = []
    for name in sorted(env):
        known = name in KNOWN or _SERVICE_LINK.fullmatch(name)
        if not name.startswith(PREFIX) or known or not env[name].strip():
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if name.isupper() and _is_field(path):
            settings.append(Setting(path, value_of(env[name]), _variable(name)))
        else:
            problems.append(Problem(name, "environment", f"unknown variable{_hint(name, path)}"))
    return settings, problems


def from_flags(flags: Mapping[str, str]) -> list[Setting]:
    """Return what flags set: dotted paths to values."""
    return [
        Setting(tuple(path.split(".")), value_of(text), Source("command line"))
        for path, text in flags.items()
    ]


def gateway(env: Mapping[str, str]) -> Setting | None:
    """Return the API's address as the `anthropic` package has it, for where nothing else is set."""
    url = env.get(BASE_URL_VARIABLE, "").strip()
    return Setting(("upstream", "base_url"), url, _variable(BASE_URL_VARIABLE)) if url else None


def _is_field(path: tuple[str, ...]) -> bool:
    """Whether a variable may set it: sections and the routes are set by their fields."""
    return field_at(path) and (len(path) > 1 or path in fields_of(Config)) and path != ("routes",)


def _variable(name: str) -> Source:
    return Source(f"environment variable {name}")


def value_of(text: str) -> JsonValue:
    """Return the value that a text stands for; a text that is no YAML stands for itself."""
    text = text.strip()
    if text[:1] not in ("[", "{", '"', "'"):
        return scalar(text)
    from sidecard.config.document import parse  # noqa: PLC0415  # yaml, which few settings need

    document = parse(text)
    return text if document.problems else document.values


def variable(path: Iterable[str]) -> str:
    """Return the name of the variable that sets a field."""
    return PREFIX + "__".join(path).upper()


def _hint(name: str, path: tuple[str, ...]) -> str:
    if hint := key_hint(path[-1]):
        return f"; {hint}"
    if path == ("routes",):
        return f"; did you mean {PREFIX}ROUTES__<NAME>?"
    names = [variable(known) for known in fields_of(Config) if known != ("routes",)] + _HINTED
    close = get_close_matches(name.upper(), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; expected {PREFIX}<SECTION>__<FIELD>"
