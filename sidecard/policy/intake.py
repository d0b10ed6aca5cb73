"""Intake: what a route takes, checked before a call costs anything, and what is hidden in it."""

from collections.abc import Callable
from itertools import islice
from typing import Final

from sidecard.core.call import Call
from sidecard.core.errors import InvalidCall, Violation
from sidecard.policy.redacted import redacted
from sidecard.policy.redaction import Redactor
from sidecard.policy.refusing import ANYTHING, IntakePolicy, refused

_MOST: Final = 100


class Intake:
    """Takes in calls. Safe to share. `policy_of` gives a route's policy by its name."""

    def __init__(self, policy_of: Callable[[str], IntakePolicy], redactor: Redactor) -> None:
        self._policy_of = policy_of
        self._redactor = redactor

    def __call__(self, call: Call, prefix: str = "") -> Call:
        """Return the call as it may go on; raises `InvalidCall` with what the route doesn't take.

        `prefix` goes before the fields' paths.
        """
        policy = self._policy_of(call.route.name)
        if policy == ANYTHING:
            return call
        found = [
            Violation(prefix + field, f"{problem} by route {call.route.name}{fix}")
            for field, problem, fix in islice(refused(call, policy), _MOST)
        ]
        if found:
            raise InvalidCall(*found)
        return redacted(call, self._redactor, policy.redact) if policy.redact else call

    def __repr__(self) -> str:
        return f"<Intake, {self._redactor!r}>"
