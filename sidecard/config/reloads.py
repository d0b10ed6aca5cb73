"""How the configuration in force came about, as the metrics, the status and an order tell it."""

from collections.abc import Sequence
from typing import Final

from sidecard.core.jsonio import JsonObject

_MOST: Final = 50
"""Mistakes that are told: the first may be what made the others."""


class Reloads:
    """State: what the last attempt at reading the configuration came to.

    `sha256` is of the file in force, "" without one; `loaded_at` in seconds since the Unix epoch.
    `waiting` are the fields that differ in it from what is in force, until the daemon restarts.
    """

    def __init__(self, sha256: str, wall: float) -> None:
        self.sha256 = sha256
        self.loaded_at = wall
        self.waiting: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()
        self.count = 0
        self.failures = 0

    @property
    def successful(self) -> bool:
        """Whether the last attempt was, so that what is in force is what is configured."""
        return not self.problems

    def took(self, sha256: str, waiting: Sequence[str], wall: float) -> None:
        """Note that a configuration took effect, but for what waits."""
        self.sha256, self.waiting, self.loaded_at = sha256, tuple(waiting), wall
        self.problems = ()
        self.count += 1

    def refused(self, problems: Sequence[str]) -> None:
        """Note that one was refused, and the one before stays."""
        self.problems = tuple(problems[:_MOST])
        self.count += 1
        self.failures += 1

    def status(self) -> JsonObject:
        """Return what an operator wants to know, as JSON can say it."""
        return {
            "sha256": self.sha256,
            "loaded_at": self.loaded_at,
            "last_reload_successful": self.successful,
            "problems": list(self.problems),
            "waiting_for_restart": list(self.waiting),
            "reloads": self.count,
            "failures": self.failures,
        }

    def __repr__(self) -> str:
        last = "" if self.successful else ", the last too"
        in_force = self.sha256[:12] or "no file"
        return f"<Reloads, in force {in_force}, {self.failures} of {self.count} failed{last}>"
