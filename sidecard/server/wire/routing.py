"""Names to routes: what `model` in a request means."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from sidecard.core.call import Route, Target
from sidecard.policy.models import max_output_tokens
from sidecard.server.wire.violations import Violations, shown

_DEFAULT: Final = "default"
_LISTED: Final = 10


class Routing:
    """Finds the route for a name. Safe to share.

    A name that is no route's is a model's own id, where a pattern of `allowed_models` matches it;
    such a call has no other target and takes the default route's `max_tokens` and cap on attempts.
    """

    def __init__(self, routes: Mapping[str, Route], allowed_models: Sequence[str]) -> None:
        self._routes = routes
        self._default = routes[_DEFAULT]
        self._allowed_models = allowed_models

    def find(self, name: str, found: Violations) -> Route | None:
        """Return the route called `name`, "" being the default; None, noted, when there is none."""
        route = self._routes.get(name or _DEFAULT)
        if route is not None:
            return route
        if any(fnmatchcase(name, pattern) for pattern in self._allowed_models):
            default = self._default
            return Route(name, (Target(name),), default.max_tokens, default.max_attempts)
        found.add("model", f"unknown route or model {shown(name)}; {self._advice(name)}")
        return None

    def _advice(self, name: str) -> str:
        known = sorted([*self._routes, *self._allowed_models])
        if near := get_close_matches(name[:128], known, n=1):
            return f"did you mean {shown(near[0])}?"
        listed = ", ".join([shown(entry) for entry in known[:_LISTED]])
        return f"known are {listed}{' and others' if len(known) > _LISTED else ''}"


def limit_of(target: Target) -> int | None:
    """Return the most tokens that the target writes, None when that isn't known."""
    configured = target.max_output_tokens
    return max_output_tokens(target.model) if configured is None else configured
