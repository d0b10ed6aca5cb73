"""Which upstream is meant: the API with a key, the SDK with its credentials, or the simulator.

The simulator never stands in for a real upstream that somebody asked for.
"""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sidecard.config.environment import BASE_URL_VARIABLE
from sidecard.config.load import Loaded
from sidecard.config.problems import ConfigError, Problem, may_be_secret

Upstream: TypeAlias = Literal["direct", "sdk", "simulated"]

KEY_VARIABLE: Final = "ANTHROPIC_API_KEY"
MAX_KEY_BYTES: Final = 16_384

DECIDING: Final = tuple(
    ("upstream", name) for name in ("simulate", "transport", "sdk_client", "api_key_file")
)
"""The fields that decide; while one of them is wrong, nothing can be said."""

_FIELD: Final = "upstream.api_key_file"
# anthropic/lib/credentials/_chain.py (2.12): what makes the SDK find credentials of its own.
_CREDENTIALS: Final = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CONFIG_DIR")
_FEDERATION: Final = ("ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID")
_IDENTITY: Final = ("ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE")
_SIGNS: Final = sorted((KEY_VARIABLE, BASE_URL_VARIABLE, *_CREDENTIALS, *_FEDERATION, *_IDENTITY))


def choose_upstream(loaded: Loaded, env: Mapping[str, str]) -> Upstream:
    """Return the upstream that is meant; raises `ConfigError` for one that can't be reached.

    Reads the key's file, so that a missing one is found at the start and not by the first call.
    """
    upstream = loaded.config.upstream
    if upstream.simulate == "always":
        return "simulated"
    if upstream.transport == "sdk" or upstream.sdk_client != "anthropic":
        return "sdk"
    if upstream.api_key_file is not None:
        _check_file(Path(upstream.api_key_file))
        return "direct"
    if key := env.get(KEY_VARIABLE, "").strip():
        if reason := _unusable(key):
            raise _error(f"can't use the key: {reason}", KEY_VARIABLE, "environment")
        return "direct"
    if upstream.transport == "auto" and _sdk_has_credentials(env):
        return "sdk"
    signs = list(_signs(loaded, env))
    if upstream.simulate == "auto" and not signs:
        return "simulated"
    why = signs[0] if signs else "upstream.simulate is never"
    raise _error(
        f"there is no API key, and {why}, so that answers are not simulated; "
        f"set {_FIELD} to a file with the key, or ${KEY_VARIABLE} to the key, "
        "or upstream.simulate to always"
    )


def _signs(loaded: Loaded, env: Mapping[str, str]) -> Iterator[str]:
    """Yield what says that a real upstream is meant."""
    if loaded.file is not None:
        yield f"{loaded.file} configures the daemon"
    given = sorted(path for path in loaded.given if path.startswith("upstream."))
    yield from (f"{path} is set" for path in given if path != "upstream.simulate")
    yield from (f"${name} is set" for name in _SIGNS if _is_set(env, name))
    if env.get("KUBERNETES_SERVICE_HOST"):
        yield "this is a Kubernetes cluster"


def _sdk_has_credentials(env: Mapping[str, str]) -> bool:
    federated = all(_is_set(env, name) for name in _FEDERATION)
    identified = any(_is_set(env, name) for name in _IDENTITY)
    return (federated and identified) or any(_is_set(env, name) for name in _CREDENTIALS)


def _is_set(env: Mapping[str, str], name: str) -> bool:
    return bool(env.get(name, "").strip())


def _check_file(path: Path) -> None:
    # A folder that is there is no secret; a path that leads nowhere may be one.
    doubtful = path.name if path.parent.is_dir() else str(path)
    name = "the file" if may_be_secret(doubtful) else str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _error(f"can't read {name}: it is not a regular file")
        with path.open("rb") as stream:
            content = stream.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise _error(f"can't read {name}: {error.strerror}") from None
    if len(content) > MAX_KEY_BYTES:
        raise _error(f"{name} is too large for a key")
    key = content.decode("ascii", "replace").strip()
    if not key:
        raise _error(f"{name} is empty; expected the API key")
    if reason := _unusable(key):
        raise _error(f"can't use the key in {name}: {reason}")


def _unusable(key: str) -> str:
    """Return why a key can't be sent in a header, empty if it can."""
    if all("!" <= character <= "~" for character in key):
        return ""
    return "expected one line of ASCII without spaces"


def _error(message: str, path: str = _FIELD, source: str = "") -> ConfigError:
    return ConfigError([Problem(path, source, message)])
